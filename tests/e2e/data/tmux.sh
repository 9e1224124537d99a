export TMUX_TMPDIR=/tmp
tmux -f /dev/null new-session -d -x 80 -y 24 -s s 'PS1="READY> " sh'
sleep 0.7
tmux send-keys -t s 'echo he''llo; stty size' Enter
sleep 0.5
tmux split-window -t s 'PS1="TWO> " sh'
sleep 0.7
tmux send-keys -t s.1 'echo second; sleep 100' Enter
sleep 0.5
tmux send-keys -t s.1 C-c
tmux send-keys -t s.1 'echo status $?' Enter
sleep 0.5
tmux list-panes -t s -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_current_command}'
tmux capture-pane -p -t s.0
tmux capture-pane -p -t s.1
tmux kill-server; echo $?

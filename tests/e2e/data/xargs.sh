# Processes at the same time, their exit status, and who gets which argument.
seq 60 | xargs -P 8 -n 1 sh -c 'echo $(($0 * $0))' | sort -n | md5sum
seq 5 | xargs -P 4 -I{} sh -c 'exit $(({} == 3))'; echo "status $?"
seq 5 | xargs -P 4 -n 2 sh -c 'echo $#' x | sort
seq 3 | xargs -n 1 sh -c 'exit 255'; echo "status $?"
yes | head -c 300000 | xargs -P 3 -s 20000 sh -c 'echo $#' | awk '{ n += $1 } END { print n }'
find /usr/share/common-licenses -type f -print0 | sort -z | xargs -0 -P 4 -n 3 md5sum | sort
echo a b c | xargs -t -n 1 echo 2>&1 | sort

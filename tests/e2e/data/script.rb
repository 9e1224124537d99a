puts RUBY_VERSION
p (1..10).map { |x| x**2 }
t = 4.times.map { |i| Thread.new { sleep 0.01; i * 2 } }
p t.map(&:value)
r, w = IO.pipe
pid = fork { r.close; w.puts "child"; exit 3 }
w.close; puts r.read; Process.wait pid; p $?.exitstatus
puts `echo sub; exit 2`; p $?.exitstatus
require 'pty'
PTY.spawn("sh -c 'stty size; tty >/dev/null && echo tty'") { |o,i,pd| begin; puts o.read; rescue Errno::EIO; end }
require 'json'; puts JSON.generate({a: [1,2,nil]})
p Dir.children("/usr/share/common-licenses").sort.first(3)
trap("USR1") { puts "usr1" }; Process.kill("USR1", $$); sleep 0.05

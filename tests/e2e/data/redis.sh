redis-server --port 7001 --unixsocket /tmp/redis.sock --save '' --daemonize no --logfile /tmp/redis.log &
for i in 1 2 3 4 5 6 7 8 9 10; do redis-cli -p 7001 ping 2>/dev/null && break; sleep 0.2; done
redis-cli -p 7001 set k v; redis-cli -s /tmp/redis.sock get k; redis-cli -p 7001 incrby n 5; redis-cli -p 7001 shutdown nosave; wait

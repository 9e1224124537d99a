mkdir -p /tmp/n/logs; cd /tmp/n
printf 'hello from nginx\n' > /tmp/n/index.html
printf 'daemon off; pid /tmp/n/pid; error_log /tmp/n/error.log; user root; worker_processes 1; events {} http { access_log off; client_body_temp_path /tmp/n/a; proxy_temp_path /tmp/n/b; fastcgi_temp_path /tmp/n/c; uwsgi_temp_path /tmp/n/d; scgi_temp_path /tmp/n/e; server { listen 127.0.0.1:7080; listen unix:/tmp/n/sock; root /tmp/n; } }\n' > c.conf
nginx -e /tmp/n/error.log -c /tmp/n/c.conf &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /tmp/n/sock ] && break; sleep 0.2; done
curl -s http://127.0.0.1:7080/; curl -s --unix-socket /tmp/n/sock http://x/index.html; curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:7080/none
kill $pid; wait $pid; echo "status $?"

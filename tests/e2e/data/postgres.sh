B=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
grep -q "^app:" /etc/passwd || echo "app:x:1000:1000::/tmp:/bin/sh" >> /etc/passwd
export LC_ALL=C PGHOST=/tmp/pgs
mkdir -m 777 /tmp/pg /tmp/pgs
chown 1000:1000 /tmp/pg /tmp/pgs
run() { setpriv --reuid=1000 --regid=1000 --clear-groups "$@"; }
run $B/initdb -D /tmp/pg/data -U app -A trust --no-sync > /tmp/pg/init.log 2>&1 || { tail -5 /tmp/pg/init.log; exit 1; }
run $B/postgres -D /tmp/pg/data -k /tmp/pgs -c listen_addresses=127.0.0.1 -c port=7432 -c fsync=off > /tmp/pg/log 2>&1 &
for i in $(seq 50); do [ -e /tmp/pgs/.s.PGSQL.7432 ] && run psql -p 7432 -U app postgres -tAc 'select 1' 2>/dev/null && break; sleep 0.2; done
run psql -p 7432 -U app postgres -tA -c 'create table t as select g, g * g as s from generate_series(1, 1000) g' -c 'select sum(s) from t'
run psql -h 127.0.0.1 -p 7432 -U app postgres -tA -c 'select count(*) from t'
kill -INT $(head -n 1 /tmp/pg/data/postmaster.pid); wait

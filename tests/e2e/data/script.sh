#!/bin/busybox sh
echo "script $# args: $1, $2"
f() { echo "f $1"; return 3; }
f x
exit $?

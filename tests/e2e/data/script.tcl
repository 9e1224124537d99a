puts [info tclversion]
puts [exec echo hi | tr a-z A-Z]
set f [open "|sort" r+]; puts $f "b\na"; flush $f; close $f w; puts [read $f]; close $f
after 20 {set done 1}; vwait done; puts $done
puts [lsort [glob /usr/share/common-licenses/A*]]

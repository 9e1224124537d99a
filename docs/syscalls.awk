# Makes docs/syscalls.md from the X-macro list in guest/sys/table.h.
BEGIN {
    print "# System calls\n"
    print "Made from `guest/sys/table.h` by `make docs`. FULL: as the manual says. PART: for the uses that the function's"
    print "comment names. NONE: answers ENOSYS, is counted in `--report` and shows in `--strace`.\n"
    print "| number | call | state |\n|---|---|---|"
}
/X\([0-9]+, [a-z0-9_]+, (FULL|PART|NONE)\)/ {
    match($0, /X\([^)]*\)/)
    split(substr($0, RSTART + 2, RLENGTH - 3), f, ", ")
    printf "| %s | %s | %s |\n", f[1], f[2], f[3]
    count[f[3]]++
}
END { printf "\n%d FULL, %d PART, %d NONE.\n", count["FULL"], count["PART"], count["NONE"] }

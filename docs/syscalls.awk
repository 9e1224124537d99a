# Makes docs/syscalls.md from the X-macro list in guest/sys/table.h.
BEGIN {
    print "# System calls\n"
    print "Made from `guest/sys/table.h` by `make docs`: every call of x86-64 Linux up to 6.18.\n"
    print "| state | meaning |\n|---|---|"
    print "| FULL | as the manual says |"
    print "| PART | as the manual says, but for what the text names |"
    print "| REFUSED | answers the error on purpose, and why |"
    print "| NONE | answers ENOSYS, is counted in `--report` and shows in `--strace` |\n"
    print "| number | call | state | |\n|---|---|---|---|"
}
/^    X\([0-9]+, [a-z0-9_]+, (FULL|PART|REFUSED|NONE)/ {
    match($0, /X\(/)
    row = substr($0, RSTART + 2)
    text = ""
    if (match(row, /".*"/))
        text = substr(row, RSTART + 1, RLENGTH - 2)
    split(row, f, /[,)] ?/)
    if (f[3] == "REFUSED")
        text = f[4] ": " text
    printf "| %s | %s | %s | %s |\n", f[1], f[2], f[3], text
    count[f[3]]++
}
END {
    printf "\n%d FULL, %d PART, %d REFUSED, %d NONE.\n", count["FULL"], count["PART"], count["REFUSED"], count["NONE"]
}

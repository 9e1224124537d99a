# A project of many C files, built in parallel, run, touched and built again.
dir=$(mktemp -d) && cd "$dir" || exit 1
trap 'rm -r "$dir"' EXIT
for i in $(seq 16); do
    printf '#include <stdio.h>\n#include <string.h>\nint f%d(int x)\n{\n    char b[32];\n    snprintf(b, sizeof(b), "%%d", x * %d);\n    return (int)strlen(b) + x;\n}\n' $i $i > f$i.c
    echo "int f$i(int x);" >> all.h
    echo "    n += f$i(n);" >> calls
done
{ echo '#include <stdio.h>'; echo '#include "all.h"'; echo 'int main(void)'; echo '{'; echo '    int n = 1;'; cat calls; printf '    printf("%%d\\n", n);\n'; echo '    return 0;'; echo '}'; } > main.c
printf 'CFLAGS = -O1\nOBJECTS = $(patsubst %%.c,%%.o,$(wildcard *.c))\nprog: $(OBJECTS)\n\t@$(CC) -o $@ $(OBJECTS)\n%%.o: %%.c all.h\n\t@$(CC) $(CFLAGS) -c -o $@ $<\nbad:\n\t@exit 3\n' > Makefile
make -j4 && ./prog && make -q && echo "up to date"
touch -d '+1 minute' f3.c && make -q; echo "status $?"
make -j4 && ./prog
make bad 2>&1 | sed 's/^make[^ ]*: //; s/\[Makefile:[0-9]*: /[/'
ls *.o | wc -l

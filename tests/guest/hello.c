/* The smallest program of each kind of linking: greets, shows its arguments, and ends with 0. */
#include <stdio.h>

int main(int argc, char **argv)
{
    puts("hello");
    for (int i = 1; i < argc; i++)
        printf("%d: %s\n", i, argv[i]);
    return 0;
}

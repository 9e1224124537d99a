#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int main(int argc, char **argv)
{
    int values[] = { 5, 3, 9, 1, 7 };
    qsort(values, 5, sizeof(values[0]), compare);
    for (int i = 0; i < 5; i++)
        printf("%d ", values[i]);
    char *text = malloc(100000);
    memset(text, 'x', 99999);
    text[99999] = 0;
    printf("%zu %d %s\n", strlen(text), argc, argv[argc - 1]);
    free(text);
    return argc - 1;
}

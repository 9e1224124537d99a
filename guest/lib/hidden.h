/* Included before everything: what is declared elsewhere is in the same image, so no address goes through a table. */
#pragma GCC visibility push(hidden)

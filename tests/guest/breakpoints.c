/* Each int3 is one SIGTRAP, whatever else comes at the same time; and a loop behind an int3 byte can be interrupted. */
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"

static volatile long traps, alarms;

static void on_trap(int signo)
{
    traps++;
}

static void on_alarm(int signo)
{
    alarms++;
}

/* As compilers pad: the loop's only instruction follows an int3 that is never reached. */
__asm__(".text\n\tint3\n.globl spin_behind_int3\nspin_behind_int3:\n\tjmp spin_behind_int3");
void spin_behind_int3(void);

static void leave(int signo)
{
    printf("interrupted\n");
    fflush(stdout);
    _exit(check_done());
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 5000;
    struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, once = { { 0, 0 }, { 0, 50000 } };

    signal(SIGTRAP, on_trap);
    signal(SIGALRM, on_alarm);
    check_section("breakpoints");
    setitimer(ITIMER_REAL, &often, NULL);
    for (long i = 0; i < count / 3; i++) {
        __asm__ volatile("int3");
        __asm__ volatile(".byte 0xcd, 3"); /* `int 3` in its long form */
        __asm__ volatile("nop\n\tint3\n\tnop");
    }
    CHECK_EQUAL(traps, count / 3 * 3);
    check_section("a loop");
    signal(SIGALRM, leave);
    setitimer(ITIMER_REAL, &once, NULL);
    spin_behind_int3();
}

/* Hypercalls and the ports. */
#include "arch/cpu.h"

struct guest_report report;

int port_out_checked(uint16_t port);

int64_t hypercall(enum hypercall number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    struct hypercall_args *call = &shared_page()->call;

    call->arg[0] = a0;
    call->arg[1] = a1;
    call->arg[2] = a2;
    call->arg[3] = a3;
    call->arg[4] = a4;
    gate(GATE_HYPERCALL | (uint64_t)number << 8, 0);
    return READ_ONCE(call->ret);
}

bool port_out_probe(uint16_t port)
{
    return port_out_checked(port) == 0;
}

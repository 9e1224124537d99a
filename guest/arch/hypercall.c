/* Hypercalls and the ports. */
#include "arch/cpu.h"

struct guest_report report;

/* In ring 3; -EFAULT if the TSS's I/O bitmap isn't honoured. */
int port_out_checked(uint16_t port, uint32_t value);

static enum { PORTS_UNTRIED, PORTS_OPEN, PORTS_CLOSED } ports;

int64_t hypercall(enum hypercall number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    struct hypercall_args *call = &shared_page()->call;

    call->arg[0] = a0;
    call->arg[1] = a1;
    call->arg[2] = a2;
    call->arg[3] = a3;
    call->arg[4] = a4;
    if (ports == PORTS_OPEN)
        port_out(PORT_HYPERCALL, GATE_HYPERCALL | (uint32_t)number << 8);
    else
        gate(GATE_HYPERCALL | (uint64_t)number << 8, 0);
    return READ_ONCE(call->ret);
}

/* Whether ring 3 may use the ports shows when it does: perhaps with the other TSS type, or it has to go through the gate for ever. */
static bool try_ports(uint16_t port, uint32_t value)
{
    if (port_out_checked(port, value) < 0) {
        hypercall(HYPERCALL_TR_RETRY, 0, 0, 0, 0, 0);
        if (port_out_checked(port, value) < 0) {
            ports = PORTS_CLOSED;
            return false;
        }
    }
    ports = PORTS_OPEN;
    return true;
}

bool doorbell(uint16_t port, uint32_t value)
{
    report.doorbells++;
    if (ports == PORTS_UNTRIED)
        return try_ports(port, value);
    if (ports == PORTS_OPEN)
        port_out(port, value);
    return ports == PORTS_OPEN;
}

/* --report: what the run cost, as JSON. */
#ifndef VMM_REPORT_H
#define VMM_REPORT_H

#include <stdio.h>

#include "vmm/vcpu.h"

void report_write(FILE *out, const struct sandbox *sb, int status);

#endif

/* --profile: samples of where the app is, by kicks of the vmm (vmm/stats.c). */
#ifndef ARCH_PROFILE_H
#define ARCH_PROFILE_H

#include "arch/regs.h"

/* A kick has diverted the app, which was at regs, with PENDING_PROFILE. */
void profile_sample(const struct regs *regs);

#endif

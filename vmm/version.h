/* vmm --version [--verbose] */
#ifndef VMM_VERSION_H
#define VMM_VERSION_H

/* Print the version, and if verbose what of KVM and of the jail this host grants. Returns the exit status. */
int version_print(int verbose);

#endif

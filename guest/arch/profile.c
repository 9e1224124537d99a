/* --profile: the app's side of a sample, whose file and place only the shim knows. */
#include "arch/profile.h"

#include "fs/file.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "proc/process.h"

#define TEXT_MAX 360

void profile_sample(const struct regs *regs)
{
    const struct vma *vma = mm_find(current->mm, regs->rip);
    char path[256] = "[anonymous]", text[TEXT_MAX];
    uint64_t offset = regs->rip;
    int n;

    if (vma && vma->start <= regs->rip) {
        offset -= vma->start;
        if (vma->file) {
            offset += vma->file_offset;
            file_path(vma->file, path, sizeof(path));
        } else if (vma->name) {
            strlcpy(path, vma->name, sizeof(path));
        }
    }
    n = ksnprintf(text, sizeof(text), "%s %d\n%16lx +0x%lx (%s)", current->comm, current->tid, regs->rip, offset, path);
    klog_write(LOG_PROFILE, text, MIN((size_t)n, sizeof(text) - 1));
}

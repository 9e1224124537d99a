/* Extended attributes of files: set, get, list, remove, and their errors. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "check.h"

int main(void)
{
    char value[256];
    int fd = open("/tmp/xattrs", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_OK(fd);
    CHECK_ERRNO(getxattr("/tmp/xattrs", "user.a", value, sizeof(value)), ENODATA);
    CHECK_OK(setxattr("/tmp/xattrs", "user.a", "one", 3, 0));
    CHECK_OK(fsetxattr(fd, "user.b", "", 0, XATTR_CREATE));
    CHECK_ERRNO(fsetxattr(fd, "user.a", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_ERRNO(fsetxattr(fd, "user.c", "x", 1, XATTR_REPLACE), ENODATA);
    CHECK_EQUAL(getxattr("/tmp/xattrs", "user.a", value, sizeof(value)), 3);
    CHECK(!memcmp(value, "one", 3));
    CHECK_EQUAL(getxattr("/tmp/xattrs", "user.a", NULL, 0), 3);
    CHECK_ERRNO(getxattr("/tmp/xattrs", "user.a", value, 2), ERANGE);
    CHECK_EQUAL(fgetxattr(fd, "user.b", value, sizeof(value)), 0);
    CHECK_EQUAL(listxattr("/tmp/xattrs", NULL, 0), 14);
    CHECK_EQUAL(flistxattr(fd, value, sizeof(value)), 14);
    CHECK(memmem(value, 14, "user.a", 7) && memmem(value, 14, "user.b", 7));
    CHECK_ERRNO(listxattr("/tmp/xattrs", value, 3), ERANGE);
    CHECK_OK(removexattr("/tmp/xattrs", "user.a"));
    CHECK_ERRNO(removexattr("/tmp/xattrs", "user.a"), ENODATA);
    CHECK_ERRNO(setxattr("/tmp/xattrs", "nonsense", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(setxattr("/tmp/none", "user.a", "x", 1, 0), ENOENT);
    CHECK_ERRNO(getxattr("/usr/bin/env", "user.none", value, sizeof(value)), ENODATA);
    CHECK_EQUAL(lgetxattr("/tmp/xattrs", "user.b", value, sizeof(value)), 0);
    close(fd);
    CHECK_OK(unlink("/tmp/xattrs"));
    return check_done();
}

"""What programs ask of the os module, with output that does not depend on the machine."""
import errno
import os
import shutil
import stat
import tempfile

os.chdir('/tmp')
with tempfile.TemporaryDirectory() as d:
    os.makedirs(d + '/a/b/c')
    for i in range(50):
        with open(f'{d}/a/f{i}', 'w') as f:
            f.write('x' * i)
    os.symlink('f3', d + '/a/link')
    os.link(d + '/a/f4', d + '/a/hard')
    print(sorted(os.listdir(d + '/a'))[:6], os.stat(d + '/a/hard').st_nlink)
    print(sum(e.stat().st_size for e in os.scandir(d + '/a') if e.is_file()))
    print(os.readlink(d + '/a/link'), os.path.realpath(d + '/a/link') == os.path.realpath(d) + '/a/f3')
    os.chmod(d + '/a/f5', 0o600)
    os.utime(d + '/a/f5', (1000, 2000.5))
    s = os.stat(d + '/a/f5')
    print(oct(s.st_mode), s.st_atime, s.st_mtime)
    os.rename(d + '/a/f5', d + '/a/b/g')
    print(os.path.exists(d + '/a/f5'), os.path.getsize(d + '/a/b/g'))
    shutil.copytree(d + '/a', d + '/copy', symlinks=True)
    print(len(os.listdir(d + '/copy')), stat.S_ISLNK(os.lstat(d + '/copy/link').st_mode))
    print([(len(dirs), len(files)) for _, dirs, files in sorted(os.walk(d))])
    for call in (lambda: os.rmdir(d + '/a'), lambda: os.mkdir(d + '/a'), lambda: os.open(d + '/none', os.O_RDONLY),
                 lambda: os.open(d + '/a', os.O_WRONLY), lambda: os.listdir(d + '/a/f6'),
                 lambda: os.unlink(d + '/a/b'), lambda: os.stat(d + '/a/f6/x'), lambda: os.readlink(d + '/a/f6')):
        try:
            call()
            print('no error')
        except OSError as e:
            print(errno.errorcode[e.errno])
    fd = os.open(d + '/pp', os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'hello', 10)
    print(os.pread(fd, 20, 0), os.lseek(fd, 0, os.SEEK_END))
    os.ftruncate(fd, 3)
    print(os.fstat(fd).st_size)
    os.close(fd)
r, w = os.pipe()
print(os.write(w, b'abc'), os.read(r, 10))
print(os.path.exists(d), os.umask(0o77), os.umask(0o22))
print(len(os.urandom(16)), os.getpid() > 1, os.get_terminal_size.__name__)
print(os.sysconf('SC_PAGE_SIZE'), os.cpu_count() >= 1, os.sched_getaffinity(0) != set())

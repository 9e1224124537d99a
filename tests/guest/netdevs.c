/* What is told of the loopback device: getifaddrs(3), netdevice(7), rtnetlink(7), /proc/net. Other devices aren't looked at. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static void test_getifaddrs(void)
{
    struct ifaddrs *all, *i;
    int v4 = 0, v6 = 0, link = 0;

    check_section("getifaddrs");
    CHECK_OK(getifaddrs(&all));
    for (i = all; i; i = i->ifa_next) {
        if (strcmp(i->ifa_name, "lo") || !i->ifa_addr)
            continue;
        CHECK_EQUAL(i->ifa_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING), IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
        if (i->ifa_addr->sa_family == AF_INET)
            v4 += ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK) &&
                  ((struct sockaddr_in *)i->ifa_netmask)->sin_addr.s_addr == htonl(0xff000000);
        else if (i->ifa_addr->sa_family == AF_INET6)
            v6 += IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr);
        else
            link += i->ifa_addr->sa_family == AF_PACKET;
    }
    CHECK(v4 == 1 && v6 == 1 && link == 1);
    freeifaddrs(all);
}

static void test_ioctls(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = { .ifr_name = "lo" };

    check_section("ioctls");
    CHECK_OK(ioctl(fd, SIOCGIFFLAGS, &r));
    CHECK_EQUAL(r.ifr_flags & (IFF_UP | IFF_LOOPBACK), IFF_UP | IFF_LOOPBACK);
    CHECK_OK(ioctl(fd, SIOCGIFADDR, &r));
    CHECK_EQUAL(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_OK(ioctl(fd, SIOCGIFNETMASK, &r));
    CHECK_EQUAL(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr, htonl(0xff000000));
    CHECK_OK(ioctl(fd, SIOCGIFMTU, &r));
    CHECK_EQUAL(r.ifr_mtu, 65536);
    CHECK_OK(ioctl(fd, SIOCGIFINDEX, &r));
    CHECK_EQUAL(r.ifr_ifindex, 1);
    CHECK_OK(ioctl(fd, SIOCGIFNAME, &r));
    CHECK(!strcmp(r.ifr_name, "lo"));
    CHECK_OK(ioctl(fd, SIOCGIFHWADDR, &r));
    CHECK_EQUAL(r.ifr_hwaddr.sa_family, 772);
    strcpy(r.ifr_name, "none0");
    CHECK_ERRNO(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
    r.ifr_ifindex = 9999;
    CHECK_ERRNO(ioctl(fd, SIOCGIFNAME, &r), ENODEV);
    CHECK_ERRNO(ioctl(fd, 0x1234, &r), ENOTTY);
    close(fd);
}

static void test_netlink(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl nl = { .nl_family = AF_NETLINK };
    socklen_t len = sizeof(nl);
    struct {
        struct nlmsghdr h;
        struct ifinfomsg m;
    } ask = { { sizeof(ask), RTM_GETLINK, NLM_F_REQUEST, 7, 0 }, { .ifi_index = 9999 } };
    char buf[8192];
    struct nlmsghdr *h = (void *)buf;
    ssize_t n;

    check_section("netlink");
    CHECK_ERRNO(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
    CHECK_OK(bind(fd, (void *)&nl, sizeof(nl)));
    CHECK_OK(getsockname(fd, (void *)&nl, &len));
    CHECK_EQUAL(nl.nl_pid, getpid());
    CHECK_ERRNO(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    CHECK_EQUAL(send(fd, &ask, sizeof(ask), 0), (ssize_t)sizeof(ask));
    n = recv(fd, buf, sizeof(buf), 0);
    CHECK(n >= 36 && h->nlmsg_type == NLMSG_ERROR && h->nlmsg_seq == 7);
    CHECK_EQUAL(((struct nlmsgerr *)NLMSG_DATA(h))->error, -ENODEV);
    ask.m.ifi_index = 1;
    CHECK_EQUAL(send(fd, &ask, sizeof(ask), 0), (ssize_t)sizeof(ask));
    n = recv(fd, buf, sizeof(buf), 0);
    CHECK(n > 36 && h->nlmsg_type == RTM_NEWLINK);
    ask.h.nlmsg_len = sizeof(ask.h); /* no question, so only the acknowledgement comes */
    ask.h.nlmsg_flags |= NLM_F_ACK;
    CHECK_EQUAL(send(fd, &ask, sizeof(ask.h), 0), (ssize_t)sizeof(ask.h));
    n = recv(fd, buf, sizeof(buf), 0);
    CHECK(n >= 36 && h->nlmsg_type == NLMSG_ERROR && ((struct nlmsgerr *)NLMSG_DATA(h))->error == 0);
    close(fd);
}

static bool proc_has(const char *path, const char *what)
{
    char line[512];
    bool found = false;
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof(line), f))
        found |= strstr(line, what) != NULL;
    if (f)
        fclose(f);
    return found;
}

static void test_proc(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(a);
    char want[64];

    check_section("proc");
    CHECK_OK(bind(fd, (void *)&a, len));
    CHECK_OK(listen(fd, 5));
    CHECK_OK(getsockname(fd, (void *)&a, &len));
    snprintf(want, sizeof(want), " 0100007F:%04X 00000000:0000 0A ", ntohs(a.sin_port));
    CHECK(proc_has("/proc/net/tcp", want));
    CHECK(proc_has("/proc/net/dev", "lo:"));
    CHECK(proc_has("/proc/net/if_inet6", "00000000000000000000000000000001 01 80 10 80       lo"));
    close(fd);
    CHECK(!proc_has("/proc/net/tcp", want));
}

int main(void)
{
    test_getifaddrs();
    test_ioctls();
    test_netlink();
    test_proc();
    return check_done();
}

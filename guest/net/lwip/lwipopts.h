/*
 * How lwIP is built into the shim: without threads, with the shim's own memory, for throughput. Documented in lwIP's opt.h.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0 /* the shim isn't preempted */
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_STATS 0
#define LWIP_SINGLE_NETIF 1

/* Memory comes from kmalloc; pools and their sizes don't count. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define MEM_SIZE (64u << 20)
#define MEMP_NUM_TCP_PCB 16384
#define MEMP_NUM_SYS_TIMEOUT 32
#define MEMP_NUM_REASSDATA 64
#define IP_REASS_MAX_PBUFS 1024 /* of datagrams that aren't whole yet */
#define PBUF_POOL_SIZE 0
#define LWIP_SUPPORT_CUSTOM_PBUF 1

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_RAW 1
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_ICMP 1
#define LWIP_IGMP 1
#define LWIP_DHCP 1
#define DHCP_DOES_ARP_CHECK 0 /* it takes a second of each start; the server has looked */
#define LWIP_DHCP_MAX_DNS_SERVERS 3
#ifndef LWIP_DNS /* for dhcp.c it is 1, which then tells of servers; the resolver itself isn't built */
#define LWIP_DNS 0
#endif
#define LWIP_IPV6_DHCP6 0
#define LWIP_IPV6_MLD 1
#define LWIP_IPV6_NUM_ADDRESSES 4
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0 /* as above */
#define LWIP_ND6_NUM_NEIGHBORS 64
#define LWIP_ND6_NUM_DESTINATIONS 64
#define LWIP_ND6_QUEUEING 1
#define ARP_TABLE_SIZE 64
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 64
#define ETHARP_SUPPORT_STATIC_ENTRIES 0
#define IP_FORWARD 0
#define IP_FRAG 1
#define IP_REASSEMBLY 1
#define IPV6_FRAG_COPYHEADER 1
#define IP_SOF_BROADCAST 0 /* inet_route() looks at SO_BROADCAST */
#define SO_REUSE_RXTOALL 1 /* each of several members has a copy */
#define SO_REUSE 1         /* who may have which port is for the shim's table to say */
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_HAVE_LOOPIF 0
#define LWIP_NETIF_LOOPBACK 1 /* for groups that both ends are in */
#define LWIP_TCP_KEEPALIVE 1

/* What checksums can be left to the device is said for each frame. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1

/* TCP. Segments are as large as the MTU lets them be; nothing is allocated by this maximum. */
#define TCP_MSS 65400
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 5
#define TCP_WND (1024u << 10)
#define TCP_SND_BUF (1024u << 10)
#define TCP_SND_QUEUELEN 8192
#define TCP_SNDLOWAT (TCP_SND_BUF / 3)
#define TCP_OVERSIZE 0
#define TCP_QUEUE_OOSEQ 1
#define LWIP_TCP_SACK_OUT 1
#define TCP_LISTEN_BACKLOG 1
#define TCP_DEFAULT_LISTEN_BACKLOG 255
#define TCP_TMR_INTERVAL 50 /* ms: delayed acknowledgements; retransmissions go by twice that */
#define LWIP_TCP_RTO_TIME 1000 /* RFC 6298 */
#define TCP_MSL 2500UL        /* TIME-WAIT is 5 s: lwIP looks through all of them for each segment, and ports are the shim's to give */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1
#define LWIP_DISABLE_MEMP_SANITY_CHECKS 1
#define LWIP_CALLBACK_API 1

#define LWIP_HOOK_FILENAME "lwip_hooks.h"

#endif

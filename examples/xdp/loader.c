/*
 * Attaches an XDP program to one end of a veth pair, sends a packet through the other, and sees that it was counted.
 *
 *     loader RECEIVER SENDER
 *
 * Exit codes: 0 fine, 1 the kernel cannot do it, 2 wrong arguments.
 */
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/if_packet.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "count.skel.h"

static int send_packet(unsigned int interface)
{
	unsigned char packet[ETH_ZLEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)interface, .sll_halen = ETH_ALEN };
	int port = socket(AF_PACKET, SOCK_RAW, 0);
	ssize_t sent = sendto(port, packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to));

	close(port);
	return sent == sizeof(packet) ? 0 : -1;
}

int main(int argc, char **argv)
{
	unsigned int receiver, sender;
	struct count_bpf *skeleton;
	uint32_t key = 0;
	uint64_t seen = 0;
	int code;

	if (argc != 3 || !(receiver = if_nametoindex(argv[1])) || !(sender = if_nametoindex(argv[2]))) {
		fprintf(stderr, "usage: loader RECEIVER SENDER, two ends of a veth pair\n");
		return 2;
	}
	skeleton = count_bpf__open_and_load();
	if (!skeleton) {
		fprintf(stderr, "loader: load: %s\n", strerror(errno));
		return 1;
	}
	code = bpf_xdp_attach((int)receiver, bpf_program__fd(skeleton->progs.count), XDP_FLAGS_DRV_MODE, NULL);
	if (code) {
		fprintf(stderr, "loader: attach: %s\n", strerror(-code));
		return 1;
	}
	for (int attempt = 0; attempt < 100 && !seen; attempt++) {
		if (send_packet(sender) < 0)
			fprintf(stderr, "loader: send: %s\n", strerror(errno));
		usleep(10000);
		bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.packets), &key, &seen);
	}
	bpf_xdp_detach((int)receiver, XDP_FLAGS_DRV_MODE, NULL);
	printf("loader: %llu packets seen\n", (unsigned long long)seen);
	return seen ? 0 : 1;
}

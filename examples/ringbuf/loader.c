/*
 * A loader as many projects have one: loads and attaches its program, and can test itself.
 *
 *     loader --self-test            load, attach, cause one event, receive it
 *     loader --require FEATURE      succeed only where the kernel has bpf_loop, kprobe.multi or arena
 *
 * Exit codes: 0 fine, 1 the kernel cannot do it, 2 wrong arguments.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "features.skel.h"
#include "ringbuf.skel.h"

struct event {
	uint32_t pid;
	uint32_t magic;
};

static int received;

static int fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("loader: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	return 1;
}

static int on_event(void *context, void *data, size_t size)
{
	const struct event *event = data;

	(void)context;
	if (size >= sizeof(*event) && event->pid == (uint32_t)getpid() && event->magic == 0xb0bca7)
		received++;
	return 0;
}

static int self_test(void)
{
	struct ringbuf_bpf *skeleton = ringbuf_bpf__open();
	struct ring_buffer *ring;

	if (!skeleton)
		return fail("open: %s", strerror(errno));
	skeleton->bss->target_pid = (uint32_t)getpid();
	if (ringbuf_bpf__load(skeleton))
		return fail("load: %s", strerror(errno));
	if (ringbuf_bpf__attach(skeleton))
		return fail("attach: %s", strerror(errno));
	ring = ring_buffer__new(bpf_map__fd(skeleton->maps.events), on_event, NULL, NULL);
	if (!ring)
		return fail("ring buffer: %s", strerror(errno));
	syscall(SYS_getpgid, 0);
	if (ring_buffer__poll(ring, 2000) < 0 || received != 1)
		return fail("no event came through the ring buffer");
	ring_buffer__free(ring);
	ringbuf_bpf__destroy(skeleton);
	puts("loader: attached, one event received");
	return 0;
}

static int require_program(struct bpf_program *(*choose)(struct features_bpf *), int attach, const char *feature)
{
	struct features_bpf *skeleton = features_bpf__open();
	struct bpf_program *program;

	if (!skeleton)
		return fail("open: %s", strerror(errno));
	program = choose(skeleton);
	bpf_program__set_autoload(program, 1);
	if (features_bpf__load(skeleton))
		return fail("this kernel has no %s (load: %s)", feature, strerror(errno));
	if (attach && !bpf_program__attach(program))
		return fail("this kernel has no %s (attach: %s)", feature, strerror(errno));
	features_bpf__destroy(skeleton);
	printf("loader: %s works\n", feature);
	return 0;
}

static struct bpf_program *loop_program(struct features_bpf *skeleton)
{
	return skeleton->progs.require_bpf_loop;
}

static struct bpf_program *multi_program(struct features_bpf *skeleton)
{
	return skeleton->progs.require_kprobe_multi;
}

/* BPF_MAP_TYPE_ARENA: Linux 6.9 (317460317a02); older headers than that do not name it. */
static int require_arena(void)
{
	const enum bpf_map_type arena = 33;
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = 1u << 10 /* BPF_F_MMAPABLE */);
	int map = bpf_map_create(arena, "arena", 0, 0, 1, &options);

	if (map < 0)
		return fail("this kernel has no arena (map: %s)", strerror(-map));
	close(map);
	puts("loader: arena works");
	return 0;
}

int main(int count, char **arguments)
{
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (count == 2 && !strcmp(arguments[1], "--self-test"))
		return self_test();
	if (count == 3 && !strcmp(arguments[1], "--require")) {
		if (!strcmp(arguments[2], "bpf_loop"))
			return require_program(loop_program, 0, "bpf_loop");
		if (!strcmp(arguments[2], "kprobe.multi"))
			return require_program(multi_program, 1, "kprobe.multi");
		if (!strcmp(arguments[2], "arena"))
			return require_arena();
	}
	fprintf(stderr, "usage: loader --self-test | --require bpf_loop|kprobe.multi|arena\n");
	return 2;
}

/* Attaching: where a section says to what, or the manifest does. */
#include "validator.h"

static int run_quietly(const char *const *arguments)
{
	pid_t child = fork();
	int status = 1;

	if (child == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDOUT_FILENO);
		execvp(arguments[0], (char *const *)arguments);
		_exit(127);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	return status;
}

/* Returns an interface to try network programs on: one end of a pair, or lo where this kernel has no veth. */
static unsigned int interface(void)
{
	static const char *const make[] = { "ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "bpfcompat1", NULL };
	static const char *const up[] = { "ip", "link", "set", INTERFACE, "up", NULL };
	static unsigned int index;

	if (index)
		return index;
	if (run_quietly(make) == 0)
		run_quietly(up);
	index = if_nametoindex(INTERFACE);
	if (!index)
		index = if_nametoindex("lo");
	return index;
}

static int cgroup(void)
{
	static int fd = -1;

	if (fd < 0) {
		mkdir(CGROUP, 0755);
		fd = open(CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd;
}

/* Attaches a program to the ingress of an interface by tc's own filter, or as its section says by a link (tcx). */
static bool attach_to_traffic(struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)interface(), .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = bpf_program__fd(program));
	int error;

	/* By the section's name: libbpf 1.3 and newer have the same attach type for tc/, which old kernels take. */
	if (!strncmp(bpf_program__section_name(program), "tcx/", 4)) /* the link is gone with this process */
		return bpf_link_create(bpf_program__fd(program), hook.ifindex, bpf_program__expected_attach_type(program), NULL) >= 0;
	error = bpf_tc_hook_create(&hook);
	if (error && error != -EEXIST) {
		errno = -error;
		return false;
	}
	error = bpf_tc_attach(&hook, &options);
	errno = -error;
	traffic_hook_index = hook.ifindex;
	return !error;
}

/* Attaches to what the manifest names, for sections that name nothing: KIND,TARGET. */
static struct bpf_link *attach_as_told(struct bpf_program *program, const char *how)
{
	const char *target = strchrnul(how, ','), *name;
	char category[128];

	if (*target)
		target++;
	if (!strncmp(how, "kprobe,", 7))
		return bpf_program__attach_kprobe(program, false, target);
	if (!strncmp(how, "kretprobe,", 10))
		return bpf_program__attach_kprobe(program, true, target);
	if (!strncmp(how, "raw_tracepoint,", 15))
		return bpf_program__attach_raw_tracepoint(program, target);
	name = strchr(target, '/');
	if (strncmp(how, "tracepoint,", 11) || !name || name - target >= (long)sizeof(category))
		die("%s is not KIND,TARGET", how);
	snprintf(category, sizeof(category), "%.*s", (int)(name - target), target);
	return bpf_program__attach_tracepoint(program, category, name + 1);
}

static bool names_target(const char *section)
{
	const char *slash = strchr(section, '/');

	return slash && slash[1];
}

/* Attaches a program where its section alone says to what; returns why nothing can be attached, or NULL. */
static const char *attach_link(struct bpf_program *program, struct bpf_link **link)
{
	const char *section = bpf_program__section_name(program);

	switch (bpf_program__type(program)) {
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
	case BPF_PROG_TYPE_TRACING:
	case BPF_PROG_TYPE_LSM:
		if (bpf_program__expected_attach_type(program) == BPF_LSM_CGROUP)
			*link = bpf_program__attach_cgroup(program, cgroup());
		else if (names_target(section))
			*link = bpf_program__attach(program);
		else
			return "its section names nothing to attach to";
		return NULL;
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_DEVICE:
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SYSCTL:
	case BPF_PROG_TYPE_CGROUP_SOCKOPT:
	case BPF_PROG_TYPE_SOCK_OPS:
		*link = bpf_program__attach_cgroup(program, cgroup());
		return NULL;
	case BPF_PROG_TYPE_XDP:
		if (bpf_program__expected_attach_type(program) == BPF_XDP_DEVMAP || bpf_program__expected_attach_type(program) == BPF_XDP_CPUMAP)
			return "it is for a slot of a map";
		*link = bpf_program__attach_xdp(program, (int)interface());
		return NULL;
	case BPF_PROG_TYPE_SK_LOOKUP:
	case BPF_PROG_TYPE_FLOW_DISSECTOR:
		*link = bpf_program__attach_netns(program, open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
		return NULL;
	default:
		return "only its own loader knows what to attach it to";
	}
}

/* What a program hangs on that is attached to a tracepoint and reads nothing of it: errno, or 0 where it was attached. */
static int errno_of_nothing(const char *event)
{
	const struct bpf_insn nothing[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	char file[512], id[32];
	int event_fd, program_fd, error;

	snprintf(file, sizeof(file), EVENTS "/%s/id", event);
	read_text(file, id, sizeof(id));
	attr.config = strtoull(id, NULL, 10);
	event_fd = (int)syscall(__NR_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	program_fd = bpf_prog_load(BPF_PROG_TYPE_TRACEPOINT, NULL, "GPL", nothing, 2, NULL);
	error = event_fd < 0 || program_fd < 0 || ioctl(event_fd, PERF_EVENT_IOC_SET_BPF, program_fd) < 0 ? errno : 0;
	close(event_fd);
	close(program_fd);
	return error;
}

/*
 * Whether this kernel has no such way to attach, which is certain by its BTF: older ones load a program for it all the same.
 * Only asked of ways that came after 5.10, since reading the BTF takes its time.
 */
static bool no_such_way(const struct bpf_program *program)
{
	enum bpf_attach_type way = bpf_program__expected_attach_type(program);

	return bpf_program__type(program) != BPF_PROG_TYPE_STRUCT_OPS && way >= BPF_SK_SKB_VERDICT && knows("bpf_attach_type", way) == 0;
}

static void attach(struct bpf_program *program, struct program_result *found, struct bpf_link **link)
{
	const char *told = setting(&program_options, bpf_program__name(program), "attach");
	bool attached;

	errno = 0;
	if (told) {
		*link = attach_as_told(program, told);
		attached = *link;
	} else if (bpf_program__type(program) == BPF_PROG_TYPE_SCHED_CLS && strncmp(bpf_program__section_name(program), "netkit/", 7)) {
		attached = attach_to_traffic(program);
	} else {
		found->attach_why = attach_link(program, link);
		attached = *link;
		if (found->attach_why && no_such_way(program)) {
			found->attach_why = NULL;
			errno = EINVAL;
		}
	}
	found->attach_errno = attached ? 0 : errno;
	if (found->attach_errno == EACCES && bpf_program__type(program) == BPF_PROG_TYPE_TRACEPOINT && !told)
		found->reads_behind = !errno_of_nothing(strchr(bpf_program__section_name(program), '/') + 1);
	found->attach = found->attach_why ? SKIPPED : attached ? DONE : FAILED;
}

static bool refuses_things(const struct bpf_program *program)
{
	return bpf_program__type(program) == BPF_PROG_TYPE_LSM || bpf_program__expected_attach_type(program) == BPF_MODIFY_RETURN;
}

/* LSM programs and the like come last: one of them may refuse what it takes to attach the others. */
static void attach_all(struct bpf_object *object)
{
	struct bpf_program *program;

	for (int last = 0; last < 2; last++) {
		size_t index = 0;

		bpf_object__for_each_program(program, object) {
			if (programs[index].wanted && programs[index].load == DONE && refuses_things(program) == last)
				attach(program, &programs[index], &links[index]);
			index++;
		}
	}
}

static void detach_all(size_t count)
{
	static const char *const unmake[] = { "ip", "link", "delete", INTERFACE, NULL };

	/* All links go, those of LSM programs too, before anything else is done that one of these could refuse. */
	for (size_t i = 0; i < count; i++)
		bpf_link__destroy(links[i]);
	if (traffic_hook_index) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = traffic_hook_index, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_tc_hook_destroy(&hook);
	}
	if (if_nametoindex(INTERFACE))
		run_quietly(unmake);
	rmdir(CGROUP);
}

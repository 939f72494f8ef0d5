/* BPF_MAP_TYPE_ARENA: Linux 6.9 (317460317a02); older headers than that do not name it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, 33);
	__uint(map_flags, 1 << 10); /* BPF_F_MMAPABLE */
	__uint(max_entries, 16);    /* pages */
	__uint(map_extra, 0x10000000); /* where it would be mapped: libbpf before 1.4 maps it nowhere */
} arena SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_getpgid")
int beside_an_arena(void *context)
{
	return 0;
}

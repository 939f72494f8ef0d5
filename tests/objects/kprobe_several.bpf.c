/* An inline function, of which many files have a copy: from 6.6 a kprobe must say which (b022f0c7e404, in 6.1.y, too). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("kprobe/__list_del_entry")
int on_several(void *context)
{
	return 0;
}

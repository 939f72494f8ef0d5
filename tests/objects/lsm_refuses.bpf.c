/* Refuses to open files, to whoever asks: the validator, too. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("lsm/file_open")
int refuses_all(void *context)
{
	return -1;
}

SEC("kprobe/bpfcompat_has_no_such_function")
int on_absent(void *context)
{
	return 0;
}

/*
 * PID 1 of the guest: mounts what an eBPF loader expects, waits for one job on ttyS1, runs it, reports how it ended.
 *
 * Ports: ttyS0 is the kernel's console, ttyS1 carries the control lines, ttyS2 the command's stdout, ttyS3 its stderr.
 * Nothing else shares a port with printk: on a shared console 23 of 300 long lines were broken (Debian 6.1, QEMU 7.2).
 *
 * Control lines are tab-separated, end in a CRC-32 of all before it, and carry the nonce of the job they speak of:
 *     BPFCOMPAT <version> READY 0 <release> <crc>
 *     BPFCOMPAT <version> BEGIN <nonce> <release> <machine> <kernel version> <crc>
 *     BPFCOMPAT <version> ENDED <nonce> <crc>                  the command has ended, but its streams are still on their way
 *     BPFCOMPAT <version> SEEN  <nonce> <ns> <crc>             a command with a sign (ready.c): it has come, so long after BEGIN
 *     BPFCOMPAT <version> MEANWHILE <nonce> <wait status> <crc>   what runs while it is ready has ended
 *     BPFCOMPAT <version> SIGNALLED <nonce> <crc>              the command gets its signal
 *     BPFCOMPAT <version> TAINT <nonce> <before the command> <now> <crc>      /proc/sys/kernel/tainted, before END and DUMPED
 *     BPFCOMPAT <version> COUNTED <nonce> <killed for want of memory> <BPF programs were loaded> <usual memlock KiB> <unknown words of the command line> <crc>
 *     BPFCOMPAT <version> END   <nonce> <wait status> <ns> <utime us> <stime us> <max rss KiB> <out> <out sent> <err> <err sent> <drained>
 *                               <bytes in the outbox> <their CRC-32> <crc>
 *     BPFCOMPAT <version> STOPPED                              the same of a command that was stopped
 *     BPFCOMPAT <version> FAIL  <nonce> <what could not be done> <crc>
 * The host sends "JOB <nonce> <length> <crc>\n" and then <length> bytes of NUL-terminated key, value pairs, in windows
 * of WINDOW bytes, each but the last answered by GOT: the serial driver drops what a slow reader leaves in its buffer.
 * Of a program's job the payload has the rest, as such pairs in the file `job`.
 * Before it, the host may send "SETTLE\n" to a guest that it is about to save (answered by SETTLED).
 * What the command reads comes as "IN <nonce> <length>\n" and so many bytes, at most WINDOW, answered by TOOK; no bytes end it.
 * "SIZE <nonce> <rows> <columns>\n" changes the size of its terminal.
 * While the command runs, the host may send "PING <nonce>\n" (answered by PONG) and "DUMP <nonce>\n" (blocked tasks to the console,
 * DUMPED); "STOP <nonce>\n" stops the command, and what is kept of it comes out (STOPPED); of a command whose sign stands in its output
 * "SIGN <nonce>\n", once it has come.
 */
#include "init.h"

/* The order matters: each part uses what stands before it. One unit lets the compiler drop what nobody uses. */
#include "protocol.c"
#include "boot.c"
#include "job.c"
#include "files.c"
#include "unpack.c"
#include "disks.c"
#include "streams.c"
#include "taint.c"
#include "outbox.c"
#include "collect.c"
#include "program.c"
#include "command.c"
#include "ready.c"
#include "counted.c"
#include "input.c"
#include "run.c"

int main(void)
{
	static struct job job;
	size_t length;
	char *blob;

	out.port = "/dev/ttyS2";
	err.port = "/dev/ttyS3";
	make_crc_table();
	mount_all();
	load_modules();
	mount_system();
	open_outbox();
	bring_up_loopback();
	set_limits();
	uname(&kernel);
	control = open_port("/dev/ttyS1");
	out.out = open_port(out.port);
	err.out = open_port(err.port);
	if (control < 0 || out.out < 0 || err.out < 0) {
		log_line("this kernel has no four 8250 serial ports: %s", strerror(errno));
		stop_machine();
	}
	note_unknown_words();
	prepare_run();
	say("READY", "%s", kernel.release);

	blob = receive_job(&length);
	parse_job(blob, length, &job);
	refresh(&job);
	if (job.payload)
		show_payload();
	if (job.more)
		parse_rest(&job);
	if (!job.command && !job.program)
		refuse("the job has no command");
	if (job.program)
		share_all(&job);
	load_wanted_modules(&job);
	if (job.command) {
		add_environment(&job, "BPFCOMPAT_BIN", job.binary);
		add_environment(&job, "BPFCOMPAT_ARTIFACT", job.artifact);
		add_environment(&job, "BPFCOMPAT_REMOTE_ROOT", WORK_ROOT);
	}
	if (job.ready)
		prepare_ready(&job);
	out.live = err.live = job.live;
	klogctl(8, NULL, 7); /* the boot is quiet, the run is not: what the kernel says about the loader is evidence */
	run(&job);
	for (;;)
		pause(); /* the host ends the machine when it has every byte */
}

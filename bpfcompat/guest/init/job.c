/* The job: received, checked and parsed; the clock and the random numbers that it brings. */
#include "init.h"

static bool read_byte(char *byte, int timeout_ms)
{
	for (;;) {
		struct pollfd waiting = { .fd = control, .events = POLLIN };
		ssize_t got = read(control, byte, 1);

		if (got == 1)
			return true;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (poll(&waiting, 1, timeout_ms) == 0)
			return false;
	}
}

static void read_line(char *line, size_t size)
{
	size_t used = 0;
	char byte;

	while (read_byte(&byte, -1) && byte != '\n')
		if (used < size - 1)
			line[used++] = byte;
	line[used] = 0;
}

/*
 * Makes this guest smaller to save: the boot's own code and the packed initramfs are free memory by now, but not empty.
 * The kernel hands it out first, and zeroes it for a process: 13 MB less on disk, for 50 ms of the boot that is saved.
 */
static void settle(void)
{
	struct sysinfo memory;
	pid_t child;

	sysinfo(&memory);
	child = memory.freeram * memory.mem_unit > 4ul * STALE ? fork() : -1;
	if (child == 0) {
		char *stale = mmap(NULL, STALE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (size_t at = 0; stale != MAP_FAILED && at < STALE; at += 4096)
			((volatile char *)stale)[at] = 0;
		_exit(0);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
	say("SETTLED", "");
}

static char *receive_job(size_t *length)
{
	char line[256], *blob;
	size_t got = 0, next = WINDOW;
	unsigned int crc;

	for (read_line(line, sizeof(line)); !strcmp(line, "SETTLE"); read_line(line, sizeof(line)))
		settle();
	if (sscanf(line, "JOB %32[0-9a-f] %zu %x", nonce, length, &crc) != 3 || *length > JOB_LIMIT)
		refuse("the job's first line cannot be read");
	blob = calloc(1, *length + 1);
	while (got < *length) {
		if (!read_byte(blob + got, 10000))
			refuse("the job stopped after %zu of %zu bytes", got, *length);
		if (++got == next && got < *length) {
			say("GOT", "%zu", got);
			next += WINDOW;
		}
	}
	if (crc32_add(0, blob, *length) != crc)
		refuse("the job was damaged on its way (%zu bytes)", *length);
	return blob;
}

static void parse_job(char *blob, size_t length, struct job *job)
{
	for (char *at = blob; at < blob + length;) {
		const char *key = at, *value = at + strlen(at) + 1;

		if (value >= blob + length)
			refuse("the job ends in the middle of %s", key);
		at += strlen(key) + strlen(value) + 2;
		if (!strcmp(key, "command"))
			job->command = value;
		else if (!strcmp(key, "binary"))
			job->binary = value;
		else if (!strcmp(key, "artifact"))
			job->artifact = value;
		else if (!strcmp(key, "time"))
			job->time = value;
		else if (!strcmp(key, "seed"))
			job->seed = value;
		else if (!strcmp(key, "payload"))
			job->payload = true;
		else if (!strcmp(key, "more"))
			job->more = true;
		else if (!strcmp(key, "limits"))
			job->usual_limits = true;
		else if (!strcmp(key, "ready"))
			job->ready = (job->ready_signal = atoi(value)) > 0;
		else if (!strcmp(key, "ready file"))
			job->ready_file = value;
		else if (!strcmp(key, "ready notify"))
			job->ready_notify = true;
		else if (!strcmp(key, "while ready"))
			job->while_ready = value;
		else if (!strcmp(key, "module") && job->module_count < MODULES_LIMIT)
			job->modules[job->module_count++] = value;
		else if (!strcmp(key, "program"))
			job->program = value;
		else if (!strcmp(key, "directory"))
			job->directory = value;
		else if (!strcmp(key, "argument") && job->argument_count < ARGUMENTS_LIMIT)
			job->arguments[job->argument_count++] = value;
		else if (!strcmp(key, "share") && job->share_count < SHARES_LIMIT)
			job->shares[job->share_count++] = value;
		else if (!strcmp(key, "copied") && job->share_count)
			job->copied[job->share_count - 1] = true;
		else if (!strcmp(key, "folder") && job->folder_count < SHARES_LIMIT)
			job->folders[job->folder_count++] = value;
		else if (!strcmp(key, "live"))
			job->live = true;
		else if (!strcmp(key, "input"))
			job->input = true;
		else if (!strcmp(key, "terminal"))
			sscanf(value, "%hu %hu", &job->terminal.ws_row, &job->terminal.ws_col);
		else if (!strcmp(key, "collect") && job->collect_count < COLLECT_LIMIT)
			job->collect[job->collect_count++] = value;
		else if (!strcmp(key, "collect-limit"))
			job->collect_bytes = strtoull(value, NULL, 10);
		else if (!strcmp(key, "env") && job->environment_length < ENVIRONMENT_LIMIT)
			job->environment[job->environment_length++] = value;
		else
			refuse("the job has a part that this guest does not know: %s", key);
	}
}

static struct {
	char *blob;
	size_t length;
} rest_of_job;

/* Returns where the rest of the job is to be put. */
static char *room_for_rest(size_t length)
{
	rest_of_job.blob = calloc(1, length + 1);
	if (!rest_of_job.blob)
		refuse("the rest of the job cannot be read: %s", strerror(errno));
	rest_of_job.length = length;
	return rest_of_job.blob;
}

static void read_rest(void)
{
	int fd = open(PAYLOAD_ROOT "/" REST_OF_JOB, O_RDONLY | O_CLOEXEC);
	struct stat status;
	char *to;

	if (fd < 0 || fstat(fd, &status) < 0)
		refuse("the rest of the job cannot be read: %s", strerror(errno));
	to = room_for_rest((size_t)status.st_size);
	for (size_t length = rest_of_job.length; length > 0;) {
		ssize_t got = read(fd, to, length);

		if (got <= 0)
			refuse("the rest of the job is not whole");
		to += got;
		length -= (size_t)got;
	}
	close(fd);
}

/*
 * Of a program the payload has the rest of its job, in the same form: a port takes 10 microseconds for a byte under emulation, and what
 * it finds in its environment may be some KiB. Of an archive it has been taken already (unpack.c).
 */
static void parse_rest(struct job *job)
{
	if (!rest_of_job.blob)
		read_rest();
	parse_job(rest_of_job.blob, rest_of_job.length, job);
}

static int random_numbers = -1; /* /dev/urandom, open since before the guest was saved, as what a run needs is */

static void open_random_numbers(void)
{
	random_numbers = open("/dev/urandom", O_RDWR | O_CLOEXEC);
}

static unsigned char hex_digit(char digit)
{
	return (unsigned char)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
}

/* A restored guest has the clock and the random numbers of the moment it was saved, like all its siblings. */
static void refresh(const struct job *job)
{
	struct timespec now = { 0 };
	struct { int entropy, size; unsigned char bytes[64]; } pool = { .size = 0 };

	if (job->time && sscanf(job->time, "%ld.%ld", &now.tv_sec, &now.tv_nsec) == 2 && clock_settime(CLOCK_REALTIME, &now) < 0)
		refuse("the clock cannot be set: %s", strerror(errno));
	for (const char *hex = job->seed; hex && hex[0] && hex[1] && pool.size < (int)sizeof(pool.bytes); hex += 2)
		pool.bytes[pool.size++] = (unsigned char)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	pool.entropy = pool.size * 8;
	if (ioctl(random_numbers, RNDADDENTROPY, &pool) < 0)
		refuse("the random numbers cannot be seeded: %s", strerror(errno));
	/* Without this, kernels before 5.18 go on with the old key for up to five minutes. */
	ioctl(random_numbers, RNDRESEEDCRNG);
}

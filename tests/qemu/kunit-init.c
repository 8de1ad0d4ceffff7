// SPDX-License-Identifier: GPL-2.0-only
/*
 * First process of the big-endian machine, for which Debian has no user space:
 * load the KUnit module, show the results of its suites and the kernel's log,
 * power off. The output is like that of tests/qemu/init. Compiled with the
 * kernel's nolibc.
 */

#include <linux/reboot.h>
#include <linux/types.h>

#include "nolibc.h"
#include <stdbool.h>

#define RESULTS		"/sys/kernel/debug/kunit"
#define LOG_READ_ALL	3

static char text[1 << 20];

static void say(const char *line)
{
	write(1, line, strlen(line));
}

/* Reads as much of a file as fits in @text, as a string. */
static bool read_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	size_t length = 0;
	ssize_t got;

	if (fd < 0)
		return false;
	do {
		got = read(fd, text + length, sizeof(text) - 1 - length);
		if (got > 0)
			length += got;
	} while (got > 0);
	close(fd);
	text[length] = '\0';

	return true;
}

/*
 * The file of each suite has a header of two lines, and number 1; print one
 * header for all, and different numbers.
 */
static void show_suite(const char *name, unsigned int number)
{
	char *line, *end;

	if (chdir(name) || !read_file("results"))
		return;
	chdir("..");
	for (line = text; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if (!memcmp(line, "KTAP", 4) || !memcmp(line, "1..", 3))
			continue;
		if (!memcmp(line, "ok 1 ", 5))
			printf("ok %u %s\n", number, line + 5);
		else if (!memcmp(line, "not ok 1 ", 9))
			printf("not ok %u %s\n", number, line + 9);
		else
			printf("%s\n", line);
	}
}

/* A directory entry of getdents64(). */
struct entry {
	__u64 inode;
	__s64 offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

static void show_suites(void)
{
	static __u64 buffer[512];
	const char *names = (char *)buffer;
	int fd = open(RESULTS, O_RDONLY | O_DIRECTORY);
	unsigned int count = 0, number = 0;
	long length, at;
	const struct entry *entry;

	length = syscall(__NR_getdents64, fd, buffer, sizeof(buffer));
	for (at = 0; at < length; at += entry->length) {
		entry = (const void *)(names + at);
		count += entry->name[0] != '.';
	}
	printf("KTAP version 1\n1..%u\n", count);
	chdir(RESULTS);
	for (at = 0; at < length; at += entry->length) {
		entry = (const void *)(names + at);
		if (entry->name[0] != '.')
			show_suite(entry->name, ++number);
	}
}

int main(void)
{
	int fd;

	say("vm: started\n");
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	fd = open("/tests/tce_table_kunit.ko", O_RDONLY);
	if (syscall(__NR_finit_module, fd, "", 0))
		perror("tce_table_kunit.ko");
	say("vm: results\n");
	show_suites();
	say("vm: kernel log\n");
	memset(text, 0, sizeof(text));
	syscall(__NR_syslog, LOG_READ_ALL, text, sizeof(text) - 1);
	say(text);
	say("vm: done\n");
	reboot(LINUX_REBOOT_CMD_POWER_OFF);

	return 1;
}

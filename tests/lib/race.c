// SPDX-License-Identifier: GPL-2.0-only
/* Races of two calls. Contract: race.h. */

#define _GNU_SOURCE

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "race.h"
#include "tap.h"

/* Some of this many rounds must overlap. */
#define ROUNDS_SURE	10000

/* A thread that is not running must not keep the other one waiting. */
#define MEETING_SPINS	100000
/* A thread that waits for longer sleeps, where the other one has much to do. */
#define RESTING_SPINS	1000
#define PARTING_SPINS	256

/* The current race. */
static const struct race *race;
static unsigned int rounds;
static unsigned int arrived[2];
static unsigned int asleep[2];
/* The round that each side is in, from 1 on; 0 outside of any. */
static unsigned int inside[2];
/* The round that the first side has ended last. */
static unsigned int ended;
static unsigned int overlapped;
/* The last round that overlapped; both sides may see it. */
static unsigned int overlap;
/* Calls of the second side. */
static unsigned int calls;
static unsigned int raced;
static int error;
static const char *where;
/* No further round is begun. */
static bool late;
static struct timespec begun_at;
static unsigned int seconds;

/* Results of both sides of a batch. */
static int result[2];

/* Threads */

static unsigned int load(unsigned int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Waits for the other side; without @patient, only for a short time. */
static void meet(unsigned int me, bool patient)
{
	unsigned int times = arrived[me] + 1, spins;

	__atomic_store_n(&arrived[me], times, __ATOMIC_RELEASE);
	for (spins = 0; load(&arrived[!me]) < times; spins++) {
		if (spins < MEETING_SPINS)
			continue;
		if (!patient)
			break;
		sched_yield();
	}
}

/*
 * Waits for the other side, which may take long, and leaves the CPU to other
 * machines meanwhile. Then both meet again, as one of them has to wake up.
 */
static void rest(unsigned int me)
{
	unsigned int times = arrived[me] + 1, spins, seen;

	__atomic_store_n(&arrived[me], times, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&asleep[!me], __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &arrived[me], FUTEX_WAKE_PRIVATE, INT_MAX,
			NULL, NULL, 0);
	for (spins = 0; load(&arrived[!me]) < times && spins < RESTING_SPINS;)
		spins++;

	__atomic_store_n(&asleep[me], 1, __ATOMIC_SEQ_CST);
	while ((seen = load(&arrived[!me])) < times)
		syscall(SYS_futex, &arrived[!me], FUTEX_WAIT_PRIVATE, seen,
			NULL, NULL, 0);
	__atomic_store_n(&asleep[me], 0, __ATOMIC_SEQ_CST);

	meet(me, true);
}

/* Waits for a number of instructions that changes with each round. */
static void part(unsigned int me, unsigned int round)
{
	unsigned int spins = (2 * round + me) * 0x9e3779b9U >> 16;

	for (spins %= PARTING_SPINS; spins; spins--)
		__asm__ volatile("" : : : "memory");
}

static void fail(int ret, const char *in)
{
	if (!ret || error)
		return;
	where = in;
	error = ret;
}

static int attempt(unsigned int me, unsigned int round)
{
	unsigned int other, made = 0;
	int ret;

	part(me, round);
	__atomic_store_n(&inside[me], round + 1, __ATOMIC_SEQ_CST);
	other = __atomic_load_n(&inside[!me], __ATOMIC_SEQ_CST);
	do {
		ret = race->side[me](round);
		made++;
	} while (me && race->again && !ret && load(&ended) <= round);
	if (me)
		calls += made;
	else
		__atomic_store_n(&ended, round + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&inside[me], 0, __ATOMIC_SEQ_CST);
	/* The side that begins later sees the other one in the same round. */
	if (other == round + 1 &&
	    __atomic_exchange_n(&overlap, other, __ATOMIC_RELAXED) != other)
		__atomic_fetch_add(&overlapped, 1, __ATOMIC_RELAXED);

	return ret;
}

static int batch_ready(unsigned int me, unsigned int begun, unsigned int end)
{
	unsigned int round;
	int ret = 0;

	for (round = begun; round < end && !ret; round++)
		if (round % 2 == me)
			ret = race->ready(round);

	return ret;
}

static int batch_run(unsigned int me, unsigned int begun, unsigned int end)
{
	unsigned int round;
	int ret = 0;

	for (round = begun; round < end; round++) {
		/* Without it fewer rounds overlap. */
		if (round > begun)
			meet(me, false);
		ret = attempt(me, round) ?: ret;
	}

	return ret;
}

void run_on_cpu(unsigned int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static long elapsed_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - begun_at.tv_sec) * 1000 +
	       (now.tv_nsec - begun_at.tv_nsec) / 1000000;
}

static void *run(void *data)
{
	unsigned int me = !!data, begun, end;

	run_on_cpu(me);
	for (begun = 0; begun < rounds; begun = end) {
		rest(me);
		if (error || late)
			break;

		end = begun + race->batch;
		if (end > rounds)
			end = rounds;

		result[me] = 0;
		if (race->ready) {
			result[me] = batch_ready(me, begun, end);
			meet(me, true);
		}
		result[me] = batch_run(me, begun, end) ?: result[me];
		meet(me, true);
		if (me)
			continue;
		fail(result[0], "first side");
		fail(result[1], "second side");
		if (!error)
			fail(race->over(begun, end), "afterwards");
		raced = end;
		late = seconds && elapsed_ms() >= seconds * 1000L;
	}

	return NULL;
}

void race_run(const struct race *this, unsigned int count)
{
	const char *limit = getenv("RACE_SECONDS");
	pthread_t thread;
	long ms;

	race = this;
	rounds = count;
	seconds = limit ? strtoul(limit, NULL, 0) : 0;
	late = false;
	memset(arrived, 0, sizeof(arrived));
	memset(inside, 0, sizeof(inside));
	ended = 0;
	overlapped = 0;
	overlap = 0;
	calls = 0;
	raced = 0;
	error = 0;
	where = NULL;

	clock_gettime(CLOCK_MONOTONIC, &begun_at);
	if (pthread_create(&thread, NULL, run, &rounds))
		tap_bail("no thread");
	run(NULL);
	pthread_join(thread, NULL);

	CHECK_EQ(error, 0);
	if (where)
		tap_diag("%s", where);
	ms = elapsed_ms();
	tap_diag("%u rounds, %u overlapped, %u calls of side 2, %ld.%03ld s",
		 raced, overlapped, calls, ms / 1000, ms % 1000);
	/*
	 * Without an overlap nothing was tested. A few rounds may have none,
	 * where the host runs one CPU of the machine at a time.
	 */
	CHECK(overlapped > 0 || raced < ROUNDS_SURE);
}

unsigned int race_rounds(unsigned int usual)
{
	const char *wanted = getenv("ROUNDS");

	return wanted ? strtoul(wanted, NULL, 0) : usual;
}

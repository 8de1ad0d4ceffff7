// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a part of a test in several threads.
 */

#include <kunit/test.h>

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/math.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sched/task.h>

#include "threads.h"

static unsigned int rounds;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds,
		 "rounds of races of two threads; a quarter for more threads");

unsigned int threads_rounds(unsigned int threads, unsigned int usual)
{
	if (!rounds)
		return usual;

	return threads == 2 ? rounds : DIV_ROUND_UP(rounds, 4);
}

/**
 * struct threads - the threads of threads_run()
 * @test: the test
 * @body: the function that each thread runs
 * @data: argument of @body
 * @done: completed by each thread when @body has returned
 * @runner: the threads
 */
struct threads {
	struct kunit *test;
	void (*body)(void *data, unsigned int me);
	void *data;
	struct completion done;
	struct threads_runner {
		struct threads *threads;
		unsigned int me;
		struct task_struct *task;
	} runner[THREADS_MOST];
};

static int threads_start(void *data)
{
	struct threads_runner *runner = data;
	struct threads *threads = runner->threads;

	/* The fixture finds the test by kunit_get_current_test(). */
	current->kunit_test = threads->test;
	threads->body(threads->data, runner->me);
	current->kunit_test = NULL;
	complete(&threads->done);

	return 0;
}

void threads_run(struct kunit *test, unsigned int count,
		 void (*body)(void *data, unsigned int me), void *data)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);
	struct threads *threads;
	unsigned int i;

	KUNIT_ASSERT_LE(test, count, THREADS_MOST);
	threads = kunit_kzalloc(test, sizeof(*threads), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, threads);
	threads->test = test;
	threads->body = body;
	threads->data = data;
	init_completion(&threads->done);

	for (i = 0; i < count; i++) {
		struct threads_runner *runner = &threads->runner[i];

		runner->threads = threads;
		runner->me = i;
		runner->task = kthread_create(threads_start, runner, "test/%u",
					      i);
		if (IS_ERR(runner->task))
			break;
		get_task_struct(runner->task);
		kthread_bind(runner->task, cpu);
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
	}

	if (i < count) {
		while (i--)
			kthread_stop_put(threads->runner[i].task);
		KUNIT_FAIL_AND_ABORT(test, "cannot create a thread");
	}

	for (i = 0; i < count; i++)
		wake_up_process(threads->runner[i].task);
	for (i = 0; i < count; i++)
		wait_for_completion(&threads->done);
	for (i = 0; i < count; i++)
		kthread_stop_put(threads->runner[i].task);
}

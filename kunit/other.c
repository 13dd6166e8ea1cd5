// SPDX-License-Identifier: GPL-2.0
#include "other.h"

#include <kunit/test.h>
#include <kunit/visibility.h>
#include <linux/kthread.h>
#include <linux/sched/task.h>

static int other_thread(void *data)
{
	struct other *other = data;

	kthread_use_mm(other->mm);
	other->ret = other->fn(other);
	kthread_unuse_mm(other->mm);
	complete(&other->done);

	return 0;
}

void other_create(struct kunit *test, struct other *other)
{
	init_completion(&other->done);
	other->task = kthread_create(other_thread, other, "other");
	KUNIT_ASSERT_FALSE(test, IS_ERR(other->task));
	get_task_struct(other->task);
}
EXPORT_SYMBOL_IF_KUNIT(other_create);

void other_go(struct other *other)
{
	wake_up_process(other->task);
}
EXPORT_SYMBOL_IF_KUNIT(other_go);

void other_start(struct kunit *test, struct other *other)
{
	other_create(test, other);
	other_go(other);
}
EXPORT_SYMBOL_IF_KUNIT(other_start);

void other_join(struct other *other)
{
	wait_for_completion(&other->done);
	kthread_stop_put(other->task);
}
EXPORT_SYMBOL_IF_KUNIT(other_join);

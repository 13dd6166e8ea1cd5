// SPDX-License-Identifier: GPL-2.0
#include "uffd.h"

#include <kunit/resource.h>
#include <kunit/visibility.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/uaccess.h>

#include "fixture.h"

/**
 * struct uffd - a userfaultfd
 * @file: the file
 * @mode: of the range
 * @arg: user memory for the arguments of ioctl()
 */
struct uffd {
	struct file *file;
	u64 mode;
	unsigned long arg;
};

#if defined(CONFIG_USERFAULTFD) && !defined(MODULE)

#include <linux/syscalls.h>

#if !defined(CONFIG_ARCH_HAS_SYSCALL_WRAPPER)

static long user_userfaultfd(int flags)
{
	return sys_userfaultfd(flags);
}

#elif defined(CONFIG_X86_64)

#include <asm/syscall.h>
#include <asm/unistd.h>

static long user_userfaultfd(int flags)
{
	const struct pt_regs regs = { .di = flags };

	return sys_call_table[__NR_userfaultfd](&regs);
}

#else

/* How other architectures pass arguments has nobody looked up. */
static long user_userfaultfd(int flags)
{
	return -EOPNOTSUPP;
}

#endif

/* Return: 0 or an errno; what the kernel answers is in @arg. */
static int uffd_ioctl(struct uffd *uffd, unsigned int cmd, void *arg,
		      size_t size)
{
	long ret;

	if (copy_to_user((void __user *)uffd->arg, arg, size))
		return -EFAULT;
	ret = uffd->file->f_op->unlocked_ioctl(uffd->file, cmd, uffd->arg);
	if (copy_from_user(arg, (void __user *)uffd->arg, size))
		return -EFAULT;

	return ret;
}

/* A thread of the kernel would close it later than the case's mm dies. */
static void uffd_end(void *data)
{
	struct uffd *uffd = data;

	__fput_sync(uffd->file);
}

static struct uffd *uffd_open(struct kunit *test)
{
	struct uffd *uffd = kunit_kzalloc(test, sizeof(*uffd), GFP_KERNEL);
	long fd;

	KUNIT_ASSERT_NOT_NULL(test, uffd);
	uffd->arg = dmirror_user_map(test, 1, PROT_READ | PROT_WRITE);
	fd = user_userfaultfd(O_CLOEXEC | O_NONBLOCK);
	if (fd == -EOPNOTSUPP)
		kunit_skip(test, "needs a way to call userfaultfd()");
	KUNIT_ASSERT_GE_MSG(test, fd, 0L, "userfaultfd(): got %s",
			    dmirror_errno(fd));
	uffd->file = fget(fd);
	/* Threads of the kernel share their table of files. */
	close_fd(fd);
	KUNIT_ASSERT_NOT_NULL(test, uffd->file);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, uffd_end, uffd),
			0);

	return uffd;
}

void uffd_put(struct kunit *test, struct uffd *uffd)
{
	kunit_release_action(test, uffd_end, uffd);
}
EXPORT_SYMBOL_IF_KUNIT(uffd_put);

static u64 features_of(u64 mode)
{
#ifdef UFFD_FEATURE_RWP
	if (mode == UFFDIO_REGISTER_MODE_RWP)
		return UFFD_FEATURE_RWP;
#endif
	return 0;
}

struct uffd *uffd_get(struct kunit *test, unsigned long addr,
		      unsigned long npages, u64 mode, u64 features)
{
	struct uffdio_register reg = {
		.range = { .start = addr, .len = npages << PAGE_SHIFT },
		.mode = mode,
	};
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = features | features_of(mode),
	};
	struct uffd *uffd;

	if (mode == UFFDIO_REGISTER_MODE_RWP)
		DMIRROR_REQUIRES_CONFIG(test, USERFAULTFD_RWP);
	if (mode == UFFDIO_REGISTER_MODE_WP)
		DMIRROR_REQUIRES_CONFIG(test, HAVE_ARCH_USERFAULTFD_WP);
	uffd = uffd_open(test);
	uffd->mode = mode;
	DMIRROR_ASSERT_OK(test, uffd_ioctl(uffd, UFFDIO_API, &api,
					   sizeof(api)), "UFFDIO_API");
	DMIRROR_ASSERT_OK(test, uffd_ioctl(uffd, UFFDIO_REGISTER, &reg,
					   sizeof(reg)), "UFFDIO_REGISTER");

	return uffd;
}
EXPORT_SYMBOL_IF_KUNIT(uffd_get);

static int write_protect(struct uffd *uffd, struct uffdio_range range,
			 bool protect)
{
	struct uffdio_writeprotect arg = {
		.range = range,
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return uffd_ioctl(uffd, UFFDIO_WRITEPROTECT, &arg, sizeof(arg));
}

#ifdef UFFDIO_RWPROTECT

static int access_protect(struct uffd *uffd, struct uffdio_range range,
			  bool protect)
{
	struct uffdio_rwprotect arg = {
		.range = range,
		.mode = protect ? UFFDIO_RWPROTECT_MODE_RWP : 0,
	};

	return uffd_ioctl(uffd, UFFDIO_RWPROTECT, &arg, sizeof(arg));
}

#else

/* No case gets here. */
static int access_protect(struct uffd *uffd, struct uffdio_range range,
			  bool protect)
{
	return -EOPNOTSUPP;
}

#endif /* UFFDIO_RWPROTECT */

void uffd_protect(struct kunit *test, struct uffd *uffd, unsigned long addr,
		  unsigned long npages, bool protect)
{
	struct uffdio_range range = {
		.start = addr,
		.len = npages << PAGE_SHIFT,
	};
	int ret;

	if (uffd->mode == UFFDIO_REGISTER_MODE_WP)
		ret = write_protect(uffd, range, protect);
	else
		ret = access_protect(uffd, range, protect);
	DMIRROR_ASSERT_OK(test, ret, protect ? "protect" : "resolve");
}
EXPORT_SYMBOL_IF_KUNIT(uffd_protect);

int uffd_zeropage(struct uffd *uffd, unsigned long addr, unsigned long npages)
{
	struct uffdio_zeropage arg = {
		.range = { .start = addr, .len = npages << PAGE_SHIFT },
	};

	return uffd_ioctl(uffd, UFFDIO_ZEROPAGE, &arg, sizeof(arg));
}
EXPORT_SYMBOL_IF_KUNIT(uffd_zeropage);

int uffd_copy(struct uffd *uffd, unsigned long addr, unsigned long from)
{
	struct uffdio_copy arg = {
		.dst = addr,
		.src = from,
		.len = PAGE_SIZE,
	};

	return uffd_ioctl(uffd, UFFDIO_COPY, &arg, sizeof(arg));
}
EXPORT_SYMBOL_IF_KUNIT(uffd_copy);

int uffd_move(struct uffd *uffd, unsigned long dst, unsigned long src,
	      unsigned long npages)
{
	struct uffdio_move arg = {
		.dst = dst,
		.src = src,
		.len = npages << PAGE_SHIFT,
	};

	return uffd_ioctl(uffd, UFFDIO_MOVE, &arg, sizeof(arg));
}
EXPORT_SYMBOL_IF_KUNIT(uffd_move);

bool uffd_read(struct uffd *uffd, unsigned long *addr)
{
	struct uffd_msg msg;

	if (kernel_read(uffd->file, &msg, sizeof(msg), NULL) != sizeof(msg))
		return false;
	*addr = msg.arg.pagefault.address;

	return msg.event == UFFD_EVENT_PAGEFAULT;
}
EXPORT_SYMBOL_IF_KUNIT(uffd_read);

#else /* !CONFIG_USERFAULTFD || MODULE */

struct uffd *uffd_get(struct kunit *test, unsigned long addr,
		      unsigned long npages, u64 mode, u64 features)
{
	DMIRROR_REQUIRES_CONFIG(test, USERFAULTFD);
	DMIRROR_REQUIRES_BUILTIN(test);

	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(uffd_get);

void uffd_put(struct kunit *test, struct uffd *uffd)
{
}
EXPORT_SYMBOL_IF_KUNIT(uffd_put);

void uffd_protect(struct kunit *test, struct uffd *uffd, unsigned long addr,
		  unsigned long npages, bool protect)
{
}
EXPORT_SYMBOL_IF_KUNIT(uffd_protect);

int uffd_zeropage(struct uffd *uffd, unsigned long addr, unsigned long npages)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(uffd_zeropage);

int uffd_copy(struct uffd *uffd, unsigned long addr, unsigned long from)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(uffd_copy);

int uffd_move(struct uffd *uffd, unsigned long dst, unsigned long src,
	      unsigned long npages)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_IF_KUNIT(uffd_move);

bool uffd_read(struct uffd *uffd, unsigned long *addr)
{
	return false;
}
EXPORT_SYMBOL_IF_KUNIT(uffd_read);

#endif /* CONFIG_USERFAULTFD */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device of a case's own, a number for it, and a file of it: opened as a
 * process opens it, by number, without a file system.
 */
#ifndef DMIRROR_KUNIT_DEVICE_FILE_H
#define DMIRROR_KUNIT_DEVICE_FILE_H

#include <linux/types.h>

struct dmirror_device;
struct dmirror_device_config;
struct file;
struct kunit;

/*
 * The first number in a name that no device of the driver's own has: names
 * are one space.
 */
#define DMIRROR_TEST_ID 90

/**
 * dmirror_device_get - make a device
 * @test: the case, which destroys it
 * @config: what it shall be like
 *
 * Asserts that it worked.
 *
 * Return: the device.
 */
struct dmirror_device *
dmirror_device_get(struct kunit *test,
		   const struct dmirror_device_config *config);

/**
 * dmirror_device_put - destroy a device before the case ends
 * @test: the case
 * @device: from dmirror_device_get()
 */
void dmirror_device_put(struct kunit *test, struct dmirror_device *device);

/**
 * dmirror_devt_get - a device number that nobody uses
 * @test: the case, which gives it back
 *
 * Asserts that there is one.
 *
 * Return: the number.
 */
dev_t dmirror_devt_get(struct kunit *test);

/**
 * dmirror_file_open - open a character device
 * @test: the case, which closes the file
 * @devt: its number
 *
 * Return: the file, or an ERR_PTR(): -ENXIO without a device of that number,
 * else what its open() returned.
 */
struct file *dmirror_file_open(struct kunit *test, dev_t devt);

/**
 * dmirror_file_close - close a file before the case ends
 * @test: the case
 * @file: from dmirror_file_open(); on return it is released
 */
void dmirror_file_close(struct kunit *test, struct file *file);

#endif /* DMIRROR_KUNIT_DEVICE_FILE_H */

# SPDX-License-Identifier: GPL-2.0
# kbuild gives obj; a variable of that name in the environment is none of it.
ifneq ($(filter-out undefined environment default,$(firstword $(origin obj))),)
# kbuild reads this file: through a graft, or with M=.
# The overlay for User Mode Linux is part of a kernel, never of a module.
obj-$(if $(KBUILD_EXTMOD),,y) += drivers/um_zone_device/
obj-y += drivers/dmirror/
obj-y += kunit/

else
# For people. Everything is done by tools/dmirror; "make help" explains.
DMIRROR := tools/dmirror

# $(call option,--x,X): "--x" and the value of X, which no shell expands.
quote = '$(subst ','\'',$(1))'
option = $(if $($(2)),$(1) $(call quote,$($(2))))

tree_options = $(call option,--kernel,KERNEL) $(call option,--kdir,KDIR)
tree_options += $(call option,--accel,ACCEL) $(if $(V),-v)
run_options = $(call option,--tier,TIER) $(call option,--seed,SEED)
run_options += $(call option,--repeat,REPEAT) $(call option,--ops,OPS)
run_options += $(tree_options)

.DEFAULT_GOAL := help

help:
	@echo 'dmirror: test heterogeneous memory in a real kernel'
	@echo ''
	@echo '  make run            get a kernel, build it with the driver, run the'
	@echo '                      suites on User Mode Linux, give a verdict'
	@echo '    TIER=name         ... on another kernel or machine:'
	@echo '         um              User Mode Linux with device memory (default)'
	@echo '         um-full         um plus huge pages, on a patched tree'
	@echo '         um-stock        User Mode Linux as it is'
	@echo '         um-kasan        um under KASAN and with poisoned pages'
	@echo '         um-smp          um with 4 CPUs'
	@echo '         um-clang        um-full, built by clang and lld'
	@echo '         x86_64          QEMU: real page tables, 2 CPUs'
	@echo '         debug           x86_64 under KASAN, lockdep, mm checkers'
	@echo '         modules         x86_64, driver and suites as modules'
	@echo '    FILTER=suite.case ... only these (a glob)'
	@echo '    KDIR=tree         ... with a kernel tree of your own'
	@echo '    KERNEL=7.2        ... with another kernel version'
	@echo '    ACCEL=tcg         ... without KVM (kvm, tcg; default auto)'
	@echo '    SEED=n REPEAT=n   ... with these random numbers, n times'
	@echo '    OPS=n             ... with longer random walks'
	@echo '    V=1               ... showing every command line'
	@echo '  make test           the project'\''s own tests: tools, static checks,'
	@echo '                      tiers um, um-full and x86_64'
	@echo '  make test-all       the same on all tiers, with all supported kernels'
	@echo '                      and clang, and in odd configurations'
	@echo '  make selftest       the kernel'\''s own hmm-tests as user space, with'
	@echo '                      coherent memory (TIER=x86_64, um-full)'
	@echo '  make doctor         what this machine lacks, and what that costs'
	@echo ''
	@echo '  tools/dmirror help  the command line behind it all'

run:
	@$(DMIRROR) run $(run_options) $(if $(FILTER),$(call quote,$(FILTER)))

test:
	@$(DMIRROR) test $(tree_options)

test-all:
	@$(DMIRROR) test --all $(tree_options)

selftest:
	@$(DMIRROR) selftest --coherent $(call option,--tier,TIER) \
		$(tree_options) $(if $(FILTER),$(call quote,$(FILTER)))

doctor:
	@$(DMIRROR) doctor $(call option,--kdir,KDIR)

.PHONY: help run test test-all selftest doctor
endif

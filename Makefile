# SPDX-License-Identifier: GPL-2.0
ifneq ($(obj),)
# kbuild reads this file: through a graft, or with M=.
obj-y += drivers/dmirror/
obj-y += kunit/

else
# For people. Everything is done by tools/dmirror; "make help" explains.
DMIRROR := tools/dmirror

run_options := $(if $(TIER),--tier $(TIER)) $(if $(KERNEL),--kernel $(KERNEL))
run_options += $(if $(KDIR),--kdir $(KDIR)) $(if $(ACCEL),--accel $(ACCEL))
run_options += $(if $(V),-v)

.DEFAULT_GOAL := help

help:
	@echo 'dmirror: test heterogeneous memory in a real kernel'
	@echo ''
	@echo '  make run            get a kernel, build it with the driver, run the'
	@echo '                      suites on User Mode Linux, give a verdict'
	@echo '    TIER=x86_64       ... in QEMU, with real device-private memory'
	@echo '    FILTER=suite.case ... only these (a glob)'
	@echo '    KDIR=tree         ... with a kernel tree of your own'
	@echo '    KERNEL=7.2        ... with another kernel version'
	@echo '    ACCEL=tcg         ... without KVM (kvm, tcg; default auto)'
	@echo '    V=1               ... showing every command line'
	@echo '  make test           the project'\''s own tests: tools, static checks,'
	@echo '                      the um and x86_64 tiers'
	@echo '  make doctor         what this machine lacks, and what that costs'
	@echo ''
	@echo '  tools/dmirror help  the command line behind it all'

run:
	@$(DMIRROR) run $(run_options) $(FILTER)

test:
	@$(DMIRROR) test $(if $(V),-v)

doctor:
	@$(DMIRROR) doctor $(if $(KDIR),--kdir $(KDIR))

.PHONY: help run test doctor
endif

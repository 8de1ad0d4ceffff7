# SPDX-License-Identifier: GPL-2.0-only
# For people. What the kernel's build reads is in Kbuild.

KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
MODULE = vfio_iommu_spapr_tce

# depmod, dkms and update-initramfs are there, and not every root's PATH has them
export PATH := $(PATH):/usr/sbin:/sbin

all: module

help:
	@echo 'On a POWER host (as root where it installs):'
	@echo '  make            build $(MODULE).ko for the running kernel'
	@echo '  make install    into updates/, where modprobe prefers it; depmod; the tools'
	@echo '  make uninstall  the kernel'\''s own module is back'
	@echo '  make dkms       build and install by DKMS, now and for kernels to come'
	@echo '  make dkms-remove  the kernel'\''s own module is back'
	@echo '  make status     which module is loaded, and which one will be'
	@echo '  make clean'
	@echo '  KVER=           another kernel than the running one'
	@echo '  KDIR=           its build directory, if it is not where headers are'
	@echo '  INSTALL_MOD_PATH=  another root to install below'
	@echo
	@echo 'On any Debian machine (x86-64 or ppc64le):'
	@echo '  make demo       an emulated POWER host moves data through a table'
	@echo '  make test T=map    one program of tests/, a KUnit suite, or a whole machine'
	@echo '  make shell         a machine with module, programs and tools, at this terminal'
	@echo '    K=forky-64k      on that kernel (stock-64k, stock-4k, debug-kasan, ...)'
	@echo '    M=pseries        in that machine of tests/machines'
	@echo '    B=intree         with the kernel'\''s own module'
	@echo '  make check      the quick tests; the last line is N passed, N failed'
	@echo '  make check-ci   every test on stock kernels'
	@echo '  make check-long  also on debug kernels, races for hours, and coverage; goes on'
	@echo '                  where it was cut off. PART= names a part of it'
	@echo '  make check-clients  QEMU guests and DPDK with devices passed to them'
	@echo '  make bench      what it costs, in instructions, beside the kernel'\''s own'
	@echo '    ROWS=map-4k3-1   only these, in M=powernv9-64k; B=ours: this module alone'
	@echo '  make mutants    whether the tests notice random changes of the driver'
	@echo '    N=100 SEED=1     how many, which; FILES="tce_charge.c ..." of these alone'
	@echo '  make deb        the Debian package, in build/deb'
	@echo '  make dist       the source archive, in build/dist'
	@echo '  make style      checkpatch, sparse, W=1 alone'
	@echo '  CACHE=          where the prepared environment is kept'
	@echo '  MIRROR=         Debian mirror, if apt'\''s own is not to be used'

# The kernel that KDIR is of; Debian's headers know it here only. Where there are none it
# is KVER, but for another KDIR than KVER's, which then could be of any.
release = $(or $(shell sed -n 's/^.define UTS_RELEASE "\(.*\)"/\1/p' \
	'$(KDIR)/include/generated/utsrelease.h' 2>/dev/null),$(if \
	$(filter file,$(origin KDIR))$(filter-out file,$(origin KVER)),$(KVER)),$(error \
	no kernel headers in $(KDIR): which kernel is it? KVER=))
modules = $(INSTALL_MOD_PATH)/lib/modules/$(release)
depmod = depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') $(release)
# What is for people, too, whatever the kernel
prefix = $(INSTALL_MOD_PATH)/usr/local
tools = tcetab dmacheck
# What another root boots with is its own business
initramfs = $(if $(INSTALL_MOD_PATH),,@scripts/initramfs refresh '$(release)')

module:
	@scripts/check-kdir '$(KDIR)' $(if $(filter command,$(origin CC)),'$(CC)')
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' modules
	@scripts/check-vfio-ops '$(KDIR)' $(MODULE).ko

install:
	@test -e $(MODULE).ko || { echo 'install: nothing built yet: make' >&2; exit 1; }
	@! ls '$(modules)/updates/dkms/$(MODULE).ko'* >/dev/null 2>&1 || \
		{ echo 'install: DKMS has installed one: make dkms-remove' >&2; exit 1; }
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' INSTALL_MOD_DIR=updates cmd_depmod=: \
		$(if $(wildcard $(KDIR)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=) \
		modules_install
	[ ! -d tools ] || install -D -t '$(prefix)/sbin' $(tools:%=tools/%)
	[ ! -d tools ] || install -D -m 644 -t '$(prefix)/share/man/man8' $(tools:%=docs/%.8)
	$(depmod)
	$(initramfs)

uninstall:
	@ls '$(modules)/updates/$(MODULE).ko'* >/dev/null 2>&1 || \
		{ echo 'uninstall: none in $(modules)/updates' >&2; exit 1; }
	rm -f '$(modules)/updates/$(MODULE).ko'* $(tools:%='$(prefix)/sbin/%') \
		$(tools:%='$(prefix)/share/man/man8/%.8')
	$(depmod)
	$(initramfs)

dkms:
	@scripts/dkms install $(if $(filter-out file,$(origin KVER)),'$(KVER)')

dkms-remove:
	@scripts/dkms remove

status:
	@scripts/status

clean:
	rm -rf build
	find . -name .git -prune -o -type f \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name '*.gcno' -o -name '*.o.d' \
		-o -name Module.symvers -o -name modules.order \) -exec rm -f {} +

demo check check-long bench style deb dist test shell mutants guard:
	@scripts/$@

check-ci check-clients:
	@scripts/check $(@:check-%=%)

.PHONY: all help module install uninstall dkms dkms-remove status clean demo check check-ci \
	check-long check-clients bench style deb dist test shell mutants guard

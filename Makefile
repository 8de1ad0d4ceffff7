# SPDX-License-Identifier: GPL-2.0-only
# For people. What the kernel's build reads is in Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build
MODULE = vfio_iommu_spapr_tce

all: module

help:
	@echo 'On a POWER host (as root where it installs):'
	@echo '  make            build $(MODULE).ko for the running kernel'
	@echo '  make install    into updates/, where modprobe prefers it; depmod'
	@echo '  make uninstall  the kernel'\''s own module is back'
	@echo '  make clean'
	@echo '  KDIR=           another kernel'\''s build directory'
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
	@echo '  make check-long  also on debug kernels, races for hours, and coverage'
	@echo '  make check-clients  QEMU guests and DPDK with devices passed to them'
	@echo '  make bench      what it costs, in instructions, beside the kernel'\''s own'
	@echo '  make style      checkpatch, sparse, W=1 alone'
	@echo '  CACHE=          where the prepared environment is kept'
	@echo '  MIRROR=         Debian mirror, if apt'\''s own is not to be used'

# Debian's headers know the kernel's name here only
kernel_release = $(shell sed -n 's/^.define UTS_RELEASE "\(.*\)"/\1/p' \
	'$(KDIR)/include/generated/utsrelease.h')

module:
	@scripts/check-kdir '$(KDIR)'
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' modules
	@scripts/check-vfio-ops '$(KDIR)' $(MODULE).ko

install: release = $(kernel_release)
install:
	@test -e $(MODULE).ko || { echo 'install: nothing built yet: make' >&2; exit 1; }
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' INSTALL_MOD_DIR=updates cmd_depmod=: \
		$(if $(wildcard $(KDIR)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=) \
		modules_install
	depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') $(release)

uninstall: release = $(kernel_release)
uninstall:
	rm -f '$(INSTALL_MOD_PATH)/lib/modules/$(release)/updates/$(MODULE).ko'*
	depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') $(release)

clean:
	rm -rf build
	find . -name .git -prune -o -type f \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name '*.gcno' -o -name '*.o.d' \
		-o -name Module.symvers -o -name modules.order \) -exec rm -f {} +

demo check bench style test shell:
	@scripts/$@

check-ci check-long check-clients:
	@scripts/check $(@:check-%=%)

.PHONY: all help module install uninstall clean demo check check-ci \
	check-long check-clients bench style test shell

# SPDX-License-Identifier: GPL-2.0-only
# Commands for people. The kernel's build system reads Kbuild.

KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
MODULE = vfio_iommu_spapr_tce

# root's PATH may lack these directories of depmod, dkms and update-initramfs
export PATH := $(PATH):/usr/sbin:/sbin

all: module

define HELP
On a POWER host (as root where it installs):
  make            build $(MODULE).ko for the running kernel
  make install    install it to updates/, which modprobe prefers, and the tools
  make uninstall  remove it; modprobe loads the in-tree module again
  make dkms       build and install with DKMS, also for later kernels
  make dkms-remove  undo make dkms
  make status     show which module is loaded, and which one will be
  make clean      remove all that was built
  KVER=           the kernel's release, if not that of the running kernel
  KDIR=           its build directory, if not /lib/modules/KVER/build
  INSTALL_MOD_PATH=  install below this directory

On any Debian machine (x86-64 or ppc64le):
  make demo       boot an emulated POWER host and move data through a table
  make test T=map    run one program, a KUnit suite, or all of a machine
  make shell         a shell in a machine with module, programs and tools
    K=forky-64k      on that kernel (stock-64k, stock-4k, debug-kasan, ...)
    M=pseries        in that machine of tests/machines
    B=intree         with the in-tree module
  make check      the quick tests; the last line is N passed, N failed
  make check-ci   the tests that CI runs: make check, on more kernels and
                  machines
  make check-long  also on debug kernels, races for hours, coverage; continues
                  where it was interrupted. PART= selects a part of it
  make check-clients  QEMU guests, libvirt and DPDK with devices
  make bench      count instructions, and compare with the in-tree module
    ROWS=map-4k3-1   only these, in M=powernv9-64k; B=ours: only this module
  make profile    with ROWS=: which functions these instructions are spent in
  make guard G=NAME  remove a line of the driver, run the test that must fail
  make mutants    show whether the tests notice random changes of the driver
    N=100 SEED=1     how many, which; FILES="tce_charge.c ..." only in these
  make deb        the Debian packages, in build/deb
  make dist       the source archive, in build/dist
  make style      only checkpatch, kernel-doc, sparse, W=1
  CACHE=          directory of the prepared environment
  MIRROR=         Debian mirror, if not the one that apt uses
endef

help:
	$(info $(HELP))
	@:

# The release of the kernel in KDIR, which Debian's headers have only in
# utsrelease.h. Without headers it is KVER, unless only KDIR was given.
utsrelease = $(KDIR)/include/generated/utsrelease.h
headers = $(shell sed -n 's/^.define UTS_RELEASE "\(.*\)"/\1/p' \
	'$(utsrelease)' 2>/dev/null)
known = $(filter file,$(origin KDIR))$(filter-out file,$(origin KVER))
unknown = $(error no kernel headers in $(KDIR); name the kernel with KVER=)
release = $(or $(headers),$(if $(known),$(KVER)),$(unknown))
modules = $(INSTALL_MOD_PATH)/lib/modules/$(release)
depmod = depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') $(release)
# The tools do not depend on the kernel
prefix = $(INSTALL_MOD_PATH)/usr/local
tools = tcetab dmacheck
# The kernel's key, if it is a file, is not with a distribution's headers: then
# modules_install must not try to sign
key = $(shell sed -n 's/^CONFIG_MODULE_SIG_KEY="\{0,1\}\([^"]*\).*/\1/p' \
	'$(KDIR)/include/config/auto.conf' 2>/dev/null)
key_found = $(filter pkcs11:%,$(key))$(wildcard $(filter /%,$(key)) \
	$(key:%=$(KDIR)/%))
unsigned = $(if $(key_found),,CONFIG_MODULE_SIG_ALL=)
# Below INSTALL_MOD_PATH there is no initramfs to update
initramfs = $(if $(INSTALL_MOD_PATH),,@scripts/initramfs refresh '$(release)')

module:
	@scripts/check-kdir '$(KDIR)' \
		$(if $(filter command,$(origin CC)),'$(CC)')
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' modules
	@scripts/check-vfio-ops '$(KDIR)' $(MODULE).ko

install:
	@test -e $(MODULE).ko || \
		{ echo 'install: not built: run make first' >&2; exit 1; }
	@! ls '$(modules)/updates/dkms/$(MODULE).ko'* >/dev/null 2>&1 || \
		{ echo 'install: DKMS installed it; make dkms-remove' >&2; \
			exit 1; }
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' INSTALL_MOD_DIR=updates \
		cmd_depmod=: $(unsigned) modules_install
	[ ! -d tools ] || install -D -t '$(prefix)/sbin' $(tools:%=tools/%)
	[ ! -d tools ] || install -D -m 644 -t '$(prefix)/share/man/man8' \
		$(tools:%=docs/%.8)
	$(depmod)
	$(initramfs)

uninstall:
	@ls '$(modules)/updates/$(MODULE).ko'* >/dev/null 2>&1 || \
		{ echo 'uninstall: no module in $(modules)/updates' >&2; \
			exit 1; }
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
	find . -name .git -prune -o -type f \( -name '*.o' -o -name '*.ko' \
		-o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' \
		-o -name '*.gcno' -o -name '*.o.d' \
		-o -name Module.symvers -o -name modules.order \
		-o -name '.checkpatch-camelcase.*' \) \
		-exec rm -f {} +

demo check check-long bench style deb dist test shell mutants guard:
	@scripts/$@

check-ci check-clients:
	@scripts/check $(@:check-%=%)

profile:
	@scripts/bench profile

.PHONY: all help module install uninstall dkms dkms-remove status clean demo \
	check check-ci check-long check-clients bench profile style deb dist test \
	shell mutants guard

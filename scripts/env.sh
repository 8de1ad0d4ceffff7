# Sourced by the other scripts: paths, and functions that they share. The name
# of an artifact in the cache has a hash of the script that builds it, so that
# all checkouts with the same script find it.

# The scripts are in scripts/ or below it
TOP=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
TOP=${TOP%/scripts*}
CACHE=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-iommu-spapr-tce}
BUILD=$TOP/build
# Logs and results. Below TOP, because scripts/in-root can write nowhere else
LOGS=${LOGS:-$BUILD/logs}
JOBS=$(nproc)

# The kernels' configurations
CONFIG=$TOP/scripts/cache/config

. "$TOP/tests/kernels"

# key TEXT FILE...: a hash of TEXT and of files in scripts/cache, without
# comments; "# CONFIG_X is not set" is not a comment
key() (
	cd "$TOP/scripts/cache"
	text=$1
	shift
	{
		echo "$text"
		sed '/^# CONFIG_/b
			/^[[:space:]]*\(#.*\)\{0,1\}$/d' "$@"
	} | sha256sum | cut -c 1-12
)

arch=$(dpkg --print-architecture 2>/dev/null) || {
	echo "this needs a Debian machine: there is no dpkg" >&2
	exit 1
}
rootkey=$(key "$arch" mkroot)
stockkey=$(key "$rootkey" mkstock)
sourcekey=$(key "$stockkey" mksource)

ROOT=$CACHE/root-$rootkey
STOCK=$CACHE/stock-$stockkey
SOURCE=$CACHE/source-$sourcekey
USERLAND=$CACHE/userland-$(key "$rootkey" mkuserland)
PACKAGING=$CACHE/packaging-$(key "$stockkey" mkpackaging)
NATIVE=$CACHE/native-$(key "$stockkey" mkpackaging mknative)
clientkey=$(key "$rootkey" mkclient)
CLIENT_qemu=$CACHE/client-qemu-$clientkey
CLIENT_dpdk=$CACHE/client-dpdk-$clientkey
libvirt_packages="libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients \
	qemu-system-ppc iptables bash coreutils util-linux kmod driverctl \
	busybox-static"
libvirtkey=$(key "$rootkey $libvirt_packages" mkclient)
CLIENT_libvirt=$CACHE/client-libvirt-$libvirtkey
CLIENT_tools=$CACHE/client-tools-$clientkey
for flavour in 64k 4k; do
	kunitkey=$(key "$sourcekey" mkkunit config/kunit.config \
		config/$flavour.config)
	eval "KUNIT_$flavour=\$CACHE/kunit-$flavour-$kunitkey"
done
for flavour in kasan kcsan; do
	debugkey=$(key "$sourcekey" mkkunit config/kunit.config \
		config/debug.config config/$flavour.config)
	eval "DEBUG_$flavour=\$CACHE/debug-$flavour-$debugkey"
done
# In the debug kernels whose name ends with "light", only these objects of the
# kernel are compiled with KASAN; the driver and modules of the tests are, too
light="iommu iommu_api pci-ioda pci-ioda-tce container group vfio_main \
	workqueue tree timer mutex rwsem build_utility rbtree xarray refcount \
	list_debug inode file"
debugkey=$(key "$sourcekey $light" mkkunit config/kunit.config \
	config/debug.config config/light.config config/kasanlight.config)
DEBUG_kasanlight=$CACHE/debug-kasanlight-$debugkey
SIGNED=$CACHE/signed-$(key "$sourcekey" mkkunit config/kunit.config \
	config/signed.config)

# Debug kernels of a series later than that of the stock kernels
serieskey=$(key "$rootkey $series" mkseries)
SERIES=$CACHE/source-$series-$serieskey
for flavour in preempt preempt4k; do
	debugkey=$(key "$serieskey" mkkunit config/kunit.config \
		config/debug.config config/$flavour.config)
	eval "DEBUG_$flavour=\$CACHE/debug-$flavour-$debugkey"
done

debugkey=$(key "$serieskey $light" mkkunit config/kunit.config \
	config/debug.config config/light.config config/preemptlight.config)
DEBUG_preemptlight=$CACHE/debug-preemptlight-$debugkey

# The stock kernels' source, configured for clang and for big-endian. Those
# named HEADERS_ are only for compiling modules: no kernel is built
CLANG=$CACHE/clang-$(key "$rootkey" mkclang)
headerskey=$(key "$sourcekey" mkheaders mkclang mkkunit config/kunit.config \
	config/64k.config config/headers.config)
HEADERS_clang=$CACHE/headers-clang-$headerskey
HEADERS_be=$CACHE/headers-be-$headerskey
KUNIT_clang=$CACHE/kunit-clang-$headerskey
KUNIT_be=$CACHE/kunit-be-$(key "$sourcekey" mkkunit config/kunit.config \
	config/64k.config)

# A QEMU newer than the root's own
QEMU=$CACHE/qemu-$(key "$stockkey" mkqemu)

# Suites of Debian whose kernels are tested
releases="$ci_releases $long_releases"

# The parts of make check-long
long_parts="ci stock machines native graft releases newest clang big-endian"
long_parts="$long_parts kasan kcsan preempt preempt4k races"

# Kernels are named SUITE-FLAVOUR. The suite stock is the root's own suite of
# Debian, kunit and debug are built by mkkunit, headers and kunit-clang by
# mkheaders, graft by scripts/lib/mkgraft from two of the debug kernels
kernels="stock-64k stock-4k kunit-64k kunit-4k debug-kasan debug-kcsan"
kernels="$kernels debug-preempt debug-preempt4k debug-kasanlight"
kernels="$kernels debug-preemptlight headers-clang headers-be"
kernels="$kernels kunit-clang kunit-be"
kernels="$kernels graft-m graft-y graft-$series-m graft-$series-y"
for suite in $releases; do
	kernels="$kernels $suite-64k $suite-4k"
done

# one_of WORD LIST: whether the list has the word
one_of() {
	case " $2 " in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
}

# known_kernel NAME: end the script unless there is such a kernel
known_kernel() {
	one_of "${1:-}" "$kernels" || {
		echo "${0##*/}: there is no kernel '${1:-}'; there are:" \
			"$kernels" >&2
		exit 2
	}
}

# stock KERNEL: the root that has the kernel
stock() {
	case $1 in
	*-clang) echo "$CLANG" ;;
	stock-* | kunit-* | headers-* | debug-* | graft-*) echo "$STOCK" ;;
	packaging-* | signed-* | native-*) echo "$STOCK" ;;
	*) echo "$CACHE/stock-${1%-*}-$(key "$rootkey" mkrelease)" ;;
	esac
}

# linux KERNEL: the source of a kernel that the cache has built
linux() {
	case $1 in
	debug-preempt* | "graft-$series"-*) echo "$SERIES" ;;
	*) echo "$SOURCE" ;;
	esac
}

# release KERNEL: its release, as uname -r prints it
release() {
	case $1 in
	stock-64k) sed 's/$/-powerpc64le-64k/' "$STOCK/release" ;;
	stock-4k) sed 's/$/-powerpc64le/' "$STOCK/release" ;;
	*) cat "$(stock "$1")/release-${1##*-}" ;;
	esac 2>/dev/null || {
		echo "the cache has no kernel $1: scripts/prepare $1 makes it" \
			"if the mirror has it" >&2
		exit 1
	}
}

# cross: the prefix of the compiler for POWER
cross() {
	[ "$arch" = ppc64el ] || echo powerpc64le-linux-gnu-
}

# run NAME ABOUT COMMAND...: run a command, with a line when it starts and one
# when it ends. Its output goes to a log, whose end is printed if it fails
run() (
	job=$1
	echo "$job: $2 ..."
	shift 2
	log=$LOGS/$(echo "$job" | tr ' ' -).log
	mkdir -p "$LOGS"
	began=$(date +%s)
	status=0
	"$@" >"$log" 2>&1 </dev/null || status=$?
	took=$(($(date +%s) - began))
	if [ $status = 0 ]; then
		echo "$job: done in $took s"
	else
		tail -n 40 "$log"
		echo "$job: FAILED after $took s, see $log"
	fi
	exit $status
)

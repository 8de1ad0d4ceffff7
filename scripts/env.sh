# Sourced by the other scripts: where things are. Each artifact of the cache is
# named by a hash of what makes it, so any checkout with the same recipe finds it.

TOP=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
CACHE=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-iommu-spapr-tce}
BUILD=$TOP/build
JOBS=$(nproc)

# key TEXT FILE...: a hash of all of it
key() {
	text=$1
	shift
	{ echo "$text"; cat "$@"; } | sha256sum | cut -c 1-12
}

arch=$(dpkg --print-architecture)
rootkey=$(key "$arch" "$TOP/scripts/mkroot")
stockkey=$(key "$rootkey" "$TOP/scripts/mkstock")
sourcekey=$(key "$stockkey" "$TOP/scripts/mksource")

ROOT=$CACHE/root-$rootkey
STOCK=$CACHE/stock-$stockkey
SOURCE=$CACHE/source-$sourcekey
USERLAND=$CACHE/userland-$(key "$rootkey" "$TOP/scripts/mkuserland")
clientkey=$(key "$rootkey" "$TOP/scripts/mkclient")
CLIENT_qemu=$CACHE/client-qemu-$clientkey
CLIENT_dpdk=$CACHE/client-dpdk-$clientkey
for flavour in 64k 4k; do
	kunitkey=$(key "$sourcekey" "$TOP/scripts/mkkunit" \
		"$TOP/tests/qemu/kunit.config" "$TOP/tests/qemu/$flavour.config")
	eval "KUNIT_$flavour=\$CACHE/kunit-$flavour-$kunitkey"
done
for flavour in kasan kcsan; do
	debugkey=$(key "$sourcekey" "$TOP/scripts/mkkunit" \
		"$TOP/tests/qemu/kunit.config" "$TOP/tests/qemu/debug.config" \
		"$TOP/tests/qemu/$flavour.config")
	eval "DEBUG_$flavour=\$CACHE/debug-$flavour-$debugkey"
done

# Kernels are named SUITE-FLAVOUR, those of the root's own suite stock-FLAVOUR, and
# kunit-FLAVOUR. stock KERNEL: the root that has it
stock() {
	case $1 in
	stock-* | kunit-* | debug-*) echo "$STOCK" ;;
	*) echo "$CACHE/stock-${1%%-*}-$(key "$rootkey" "$TOP/scripts/mkrelease")" ;;
	esac
}

# release KERNEL: as uname -r says it
release() {
	case $1 in
	stock-64k) sed 's/$/-powerpc64le-64k/' "$STOCK/release" ;;
	stock-4k) sed 's/$/-powerpc64le/' "$STOCK/release" ;;
	*) cat "$(stock "$1")/release-${1#*-}" ;;
	esac
}

# Prefix of the compiler for POWER
cross() {
	[ "$arch" = ppc64el ] || echo powerpc64le-linux-gnu-
}

# run NAME ABOUT COMMAND...: one line when it starts, one when it ends, the output
# to a log of its own, whose end is shown on failure
run() (
	job=$1
	echo "$job: $2 ..."
	shift 2
	log=$BUILD/logs/$(echo "$job" | tr ' ' -).log
	mkdir -p "$BUILD/logs"
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

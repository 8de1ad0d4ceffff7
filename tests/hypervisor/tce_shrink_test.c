// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the hypervisor refuse entries, for tests in a guest, without telling
 * the kernel. PAPR: "ibm,ddw-applicable", ibm,create-pe-dma-window and
 * ibm,remove-pe-dma-window.
 *
 *	echo 0000:00:00.0 >/sys/module/tce_shrink_test/parameters/shrink
 *
 * asks the hypervisor to make the dynamic window of a device half as large. The
 * LIOBN and the bus address do not change, so the kernel goes on using the
 * window, and H_PUT_TCE of the second half fails.
 *
 *	echo 0000:00:00.0 >/sys/module/tce_shrink_test/parameters/remove
 *
 * asks it to remove the default window, so that entries can be neither set nor
 * cleared. It is back after the kernel has reset the windows, which it does
 * when it creates the default window.
 */

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/of.h>
#include <linux/pci.h>

#include <asm/pci-bridge.h>
#include <asm/rtas.h>

/* Cells of "ibm,ddw-applicable". */
#define CREATE_WINDOW	1
#define REMOVE_WINDOW	2

/* Cells of "linux,dma64-ddr-window-info"; one of padding follows the LIOBN. */
#define LIOBN		0
#define PAGE_SHIFT_CELL	4
#define SIZE_SHIFT_CELL	5

/*
 * The property of a window, with @cells or more, and the calls that create and
 * remove windows; NULL if there is no such window.
 */
static const __be32 *tce_find_window(struct pci_dev *pdev, const char *name,
				     int cells, const __be32 **calls)
{
	struct device_node *node = pdev->dev.of_node;
	const __be32 *window = NULL;
	int length = 0;

	for (; node; node = node->parent) {
		window = of_get_property(node, name, &length);
		if (window)
			break;
	}
	*calls = node ? of_get_property(node, "ibm,ddw-applicable", NULL) :
			NULL;

	return *calls && length >= cells * (int)sizeof(*window) ? window : NULL;
}

static int tce_remove(struct pci_dev *pdev)
{
	const __be32 *calls, *window;

	window = tce_find_window(pdev, "ibm,dma-window", LIOBN + 1, &calls);
	if (!window)
		return -ENXIO;

	return rtas_call(be32_to_cpu(calls[REMOVE_WINDOW]), 1, 1, NULL,
			 be32_to_cpu(window[LIOBN])) ? -EIO : 0;
}

static int tce_shrink(struct pci_dev *pdev)
{
	u64 buid = pci_bus_to_host(pdev->bus)->buid;
	u32 config = pdev->bus->number << 16 | pdev->devfn << 8;
	const __be32 *calls, *window;
	u32 made[3], liobn;

	window = tce_find_window(pdev, "linux,dma64-ddr-window-info",
				 SIZE_SHIFT_CELL + 1, &calls);
	if (!window)
		return -ENXIO;

	liobn = be32_to_cpu(window[LIOBN]);
	if (rtas_call(be32_to_cpu(calls[REMOVE_WINDOW]), 1, 1, NULL, liobn))
		return -EIO;
	if (rtas_call(be32_to_cpu(calls[CREATE_WINDOW]), 5, 4, made, config,
		      upper_32_bits(buid), lower_32_bits(buid),
		      be32_to_cpu(window[PAGE_SHIFT_CELL]),
		      be32_to_cpu(window[SIZE_SHIFT_CELL]) - 1))
		return -EIO;

	return made[0] == liobn ? 0 : -EIO;
}

/* Call the function of the parameter with the device that @value names. */
static int tce_shrink_set(const char *value, const struct kernel_param *param)
{
	int (*change)(struct pci_dev *pdev) = param->arg;
	unsigned int domain, bus, slot, function;
	struct pci_dev *pdev;
	int ret;

	if (sscanf(value, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;

	pdev = pci_get_domain_bus_and_slot(domain, bus,
					   PCI_DEVFN(slot, function));
	if (!pdev)
		return -ENODEV;

	ret = change(pdev);
	pci_dev_put(pdev);

	return ret;
}

static const struct kernel_param_ops tce_shrink_ops = {
	.set = tce_shrink_set,
};
module_param_cb(shrink, &tce_shrink_ops, tce_shrink, 0200);
MODULE_PARM_DESC(shrink,
		 "PCI address of the device whose dynamic window is halved");
module_param_cb(remove, &tce_shrink_ops, tce_remove, 0200);
MODULE_PARM_DESC(remove,
		 "PCI address of the device whose default window is removed");

static int __init tce_shrink_init(void)
{
	return 0;
}

static void __exit tce_shrink_exit(void)
{
}

module_init(tce_shrink_init);
module_exit(tce_shrink_exit);

MODULE_DESCRIPTION("Makes the hypervisor refuse entries, for tests");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");

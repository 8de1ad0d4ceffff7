// SPDX-License-Identifier: GPL-2.0-only
/*
 * An IOMMU driver for Linux 6.0 to 6.3, which have none on POWER: it reports to
 * the VFIO core that devices are cache coherent and can be blocked. Without it
 * the core refuses each device. It does not affect DMA: the platform and the
 * VFIO backend set up the windows. These kernels also lack the parameter
 * do_rcu_barrier, which waits for RCU callbacks. The module cannot be unloaded.
 */

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

static bool tce_iommu_capable(struct device *dev, enum iommu_cap cap)
{
	return cap == IOMMU_CAP_CACHE_COHERENCY;
}

static int tce_iommu_attach_dev(struct iommu_domain *domain, struct device *dev)
{
	return 0;
}

static void tce_iommu_detach_dev(struct iommu_domain *domain,
				 struct device *dev)
{
}

static void tce_iommu_free(struct iommu_domain *domain)
{
	kfree(domain);
}

static const struct iommu_domain_ops tce_iommu_blocked_ops = {
	.attach_dev = tce_iommu_attach_dev,
	.detach_dev = tce_iommu_detach_dev,
	.free = tce_iommu_free,
};

static struct iommu_domain *tce_iommu_domain_alloc(unsigned int type)
{
	struct iommu_domain *domain;

	if (type != IOMMU_DOMAIN_BLOCKED)
		return NULL;

	domain = kzalloc(sizeof(*domain), GFP_KERNEL);
	if (domain)
		domain->ops = &tce_iommu_blocked_ops;

	return domain;
}

/* Not used: the devices have their groups before this module is loaded. */
static struct iommu_device *tce_iommu_probe_device(struct device *dev)
{
	return ERR_PTR(-ENODEV);
}

static const struct iommu_ops tce_iommu_ops = {
	.capable = tce_iommu_capable,
	.domain_alloc = tce_iommu_domain_alloc,
	.probe_device = tce_iommu_probe_device,
	.owner = THIS_MODULE,
};

static struct iommu_device tce_iommu = {
	.ops = &tce_iommu_ops,
};

static int tce_iommu_rcu_barrier(const char *value,
				 const struct kernel_param *param)
{
	rcu_barrier();

	return 0;
}

static const struct kernel_param_ops tce_iommu_rcu_barrier_ops = {
	.set = tce_iommu_rcu_barrier,
};
module_param_cb(do_rcu_barrier, &tce_iommu_rcu_barrier_ops, NULL, 0200);
MODULE_PARM_DESC(do_rcu_barrier, "write to wait for all RCU callbacks");

static int __init tce_iommu_test_init(void)
{
	struct pci_dev *pdev = NULL;

	pci_bus_type.iommu_ops = &tce_iommu_ops;
	for_each_pci_dev(pdev) {
		struct dev_iommu *iommu;

		if (!pdev->dev.iommu_group || pdev->dev.iommu)
			continue;

		iommu = kzalloc(sizeof(*iommu), GFP_KERNEL);
		if (!iommu) {
			pci_dev_put(pdev);
			return -ENOMEM;
		}
		mutex_init(&iommu->lock);
		iommu->iommu_dev = &tce_iommu;
		pdev->dev.iommu = iommu;
	}

	/* The devices have pointers to this module from now on. */
	__module_get(THIS_MODULE);

	return 0;
}
module_init(tce_iommu_test_init);

MODULE_DESCRIPTION("IOMMU driver for kernels without one on POWER, for tests");
MODULE_AUTHOR("The vfio_iommu_spapr_tce authors");
MODULE_LICENSE("GPL");

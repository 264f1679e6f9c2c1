# SPDX-License-Identifier: GPL-2.0
#
# Everything is built below build/. What takes long to make (kernels, the VM's images) is
# kept in ~/.cache/pymalloc, or in PYMALLOC_CACHE.

# What a user may set is explained in lines of "## NAME", which `make help` prints.
## KVERSION    the release of the kernel to build the module for: this machine's
## KDIR        that kernel's headers: /lib/modules/KVERSION/build
## PREFIX      where install puts user space: /usr/local
## DESTDIR     a folder to install below, for packagers: none
## KERNEL      the VM's kernel in run, shell, bench*, check-deb, check-monitoring, check-programs: 6.12
## STRESS      how many seconds check-stress and check-torture take: 3600
KVERSION ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVERSION)/build
PREFIX ?= /usr/local
DESTDIR ?=
KERNEL ?= 6.12
MODULES ?= $(CURDIR)/build/module

tools := selftests/tools
vm := selftests/vm
results := build/results
# A kselftest keeps one processor busy, not two: these parts run two at a time, the longest
# first.
parts := harness vm
pairs := kselftest-once kselftest-6.1 kselftest-6.12 style builds deb monitoring core tools \
	pressure-6.1 pressure-6.12 misuse-6.1 misuse-6.12
debug_pairs := kselftest-debug kunit debug misuse-debug
everywhere := everywhere-6.1 everywhere-6.12 everywhere-debug

MAKEFLAGS += --no-print-directory

have_headers := $(wildcard $(KDIR)/Makefile)
# Headers that were asked for are not replaced by those of the test kernels.
headers_given := $(filter-out file,$(origin KVERSION) $(origin KDIR))

all: needs ## the module and user space; the module for both test kernels if this machine has no headers
	$(MAKE) $(if $(have_headers)$(headers_given),module,modules) userspace

help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))
	@echo 'Variables, set as in `make KERNEL=6.1 shell`, and what they are if not set:'
	@sed -n 's/^## \([A-Z].*\)/  \1/p' $(firstword $(MAKEFILE_LIST))

# kbuild writes its output beside the sources. So for each kernel it gets a tree of links
# to the sources. $(1) is the kernel's build tree, $(2) its release.
define build_module
	@mkdir -p $(MODULES)/$(2)
	@find $(MODULES)/$(2) -xtype l -delete
	@cp -rsf $(addprefix $(CURDIR)/, Kbuild module uapi selftests) $(MODULES)/$(2)
	+$(MAKE) -C $(1) M=$(MODULES)/$(2) W=1 modules
endef

module: ## the module for the kernel of this machine, or KVERSION
	$(if $(have_headers),,$(error no headers of the kernel $(KVERSION) in $(KDIR); \
		KVERSION and KDIR choose others, make modules needs none))
	$(call build_module,$(KDIR),$(KVERSION))

modules: module-6.1 module-6.12 ## the module for both test kernels

module-%: ## the module for one test kernel: module-6.1, module-6.12, module-debug
	@$(tools)/kernel $* >/dev/null
	$(call build_module,build/kernel/$*/build,$$(cat build/kernel/$*/release))

module-debug module-kcsan: export PYMALLOC_SELFTESTS = m
module-debug module-kcsan: export PYMALLOC_KUNIT = y
module-debug: export PYMALLOC_GCOV = y

userspace: ## the library, the malloc shim and the command
	$(MAKE) -C userspace

docs: ## Documentation/ as HTML in build/docs/, its kernel-doc comments checked
	@$(tools)/deps docs
	$(MAKE) -C Documentation

tests: export PYMALLOC_SELFTESTS = m
tests: modules userspace ## the kselftest programs, and what they test
	$(MAKE) -C selftests

deps: ## install every Debian package that building and testing need
	@$(tools)/deps build headers vm test peers docs deb cross

deps-vm:
	@$(tools)/deps build vm

# What is missing is named, not installed.
needs:
	@$(tools)/deps --check $(if $(headers_given),,headers) build

module_file := $(MODULES)/$(KVERSION)/pymalloc.ko

install: ## what `make` built: the module, the library, the command, the header
	$(if $(wildcard $(module_file)),$(MAKE) install-module,@echo \
		"note: no module for the kernel $(KVERSION), so only user space is" \
		"installed: $(if $(have_headers),run make first,there are no headers in $(KDIR))")
	$(MAKE) -C userspace install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)

# Not those of the tests, which may have been built beside it.
install-module: order := $(MODULES)/$(KVERSION)/modules.install
install-module:
	grep -E '(^|/)pymalloc\.' $(MODULES)/$(KVERSION)/modules.order >$(order)
	$(MAKE) -C $(KDIR) M=$(MODULES)/$(KVERSION) MODORDER=$(order) \
		INSTALL_MOD_PATH=$(DESTDIR) CONFIG_MODULE_SIG_ALL= modules_install
	$(if $(DESTDIR),,depmod $(KVERSION))

uninstall: ## undo install
	rm -f $(DESTDIR)/lib/modules/$(KVERSION)/*/pymalloc.ko*
	$(if $(DESTDIR),,$(if $(wildcard /lib/modules/$(KVERSION)),depmod $(KVERSION)))
	$(MAKE) -C userspace uninstall PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)

deb: ## Debian packages, in build/deb/
	@$(tools)/deps deb
	@userspace/debian/build build/deb
	@ls build/deb/*.deb

run: ## a demonstration, in the VM
	@$(tools)/announce $(KERNEL)
	@$(MAKE) deps-vm
	@$(MAKE) module-$(KERNEL) userspace
	@$(vm)/run --small --kernel $(KERNEL) -- selftests/demo

shell: deps-vm module-$(KERNEL) userspace ## a shell in the VM, with the module loaded (KERNEL=6.1 or 6.12)
	@$(vm)/run --kernel $(KERNEL) --shell

bench: deps module-$(KERNEL) userspace ## measure it against other allocators, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run --kernel $(KERNEL)

bench-python: deps module-$(KERNEL) userspace ## measure CPython on it and on other allocators, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run-python --kernel $(KERNEL)

bench-fork: deps module-$(KERNEL) userspace ## measure fork() on it and on other allocators, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run-fork --kernel $(KERNEL)

bench-trace: deps module-$(KERNEL) userspace ## measure what traces cost CPython, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run-trace --kernel $(KERNEL)

bench-stack: deps module-$(KERNEL) userspace ## measure stacks of the library beside obstacks, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run-program stack --kernel $(KERNEL)

bench-kernel: export PYMALLOC_SELFTESTS = m
bench-kernel: deps module-$(KERNEL) userspace ## measure heaps of modules beside kmalloc and kmem_cache, in the VM
	@selftests/bench/run-kernel --kernel $(KERNEL)

bench-type: deps module-$(KERNEL) userspace ## measure types of the library beside CPython's lists, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run-program type --kernel $(KERNEL)

bench-refs: deps module-$(KERNEL) userspace ## measure shared heaps beside a pipe and a socket, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run-program refs --kernel $(KERNEL)

bench-return: deps module-$(KERNEL) userspace ## measure the memory that it and other allocators give back, in the VM
	@$(tools)/deps bench
	@$(MAKE) -C selftests bench
	@selftests/bench/run-return --kernel $(KERNEL)

# If a part ends before it has written its results, this line makes it a failure.
# $(1): parts that run one after the other; $(2): those after them, two at a time.
define run_parts
	@mkdir -p $(results)
	@for part in $(1) $(2); do \
		echo 'Bail out! did not run' >$(results)/$$part.tap; \
	done
	$(if $(1),@-$(MAKE) -k $(1:%=$(results)/%.tap))
	@-$(MAKE) -k -j2 $(2:%=$(results)/%.tap)
endef

check: deps ## build everything and run every test, on both test kernels
	@rm -rf $(results)
	$(call run_parts,$(parts),$(pairs))
	@selftests/summary $(patsubst %,$(results)/%.tap,$(parts) $(pairs))

check-debug: deps ## some kselftests and the KUnit suites on a kernel with KASAN, lockdep and more; coverage
	$(call run_parts,,$(debug_pairs))
	@selftests/summary $(debug_pairs:%=$(results)/%.tap); status=$$?; \
		selftests/debug/coverage && exit $$status

check-everywhere: deps ## all kselftests on all three kernels, also those for which one is enough
	$(call run_parts,,$(everywhere))
	@selftests/summary $(everywhere:%=$(results)/%.tap)

check-stress: deps ## processes that fork and do all else at once, on the debug kernel, for an hour or STRESS=SECONDS
	@$(MAKE) $(results)/stress.tap && selftests/summary $(results)/stress.tap

check-torture: deps ## heaps of modules in all contexts at once, on the debug kernel, for an hour or STRESS=SECONDS
	@$(MAKE) $(results)/torture.tap && selftests/summary $(results)/torture.tap

check-kcsan: deps ## the KUnit suites and some torture on a kernel that looks for data races
	@$(MAKE) $(results)/kcsan.tap && selftests/summary $(results)/kcsan.tap

check-style: $(results)/style.tap ## compiler warnings, sparse, checkpatch, shellcheck
check-core: $(results)/core.tap ## the module's core in user space: model test and fuzzing
check-tools: $(results)/tools.tap ## tests of the library and the command that need no kernel
check-vm: $(results)/harness.tap $(results)/vm.tap ## the tests' own tests: what adds them up, and the VM
check-kselftest: $(addprefix $(results)/kselftest-,6.1.tap 6.12.tap once.tap) ## kselftests on both test kernels
check-pressure: $(results)/pressure-6.1.tap $(results)/pressure-6.12.tap ## heaps give back what the machine needs, in small VMs
check-kunit: $(results)/kunit.tap ## the KUnit suites, on the debug kernel
check-builds: $(results)/builds.tap ## other kernels and machines: does it build for them?
check-deb: $(results)/deb.tap ## the Debian packages: install, upgrade, use (in the VM) and purge them
check-monitoring: $(results)/monitoring.tap ## a Prometheus server that scrapes pymalloc, and gnuplot (in the VM)
check-programs: $(results)/programs.tap ## programs of others in the VM, without and with the service

check-style check-core check-tools check-vm check-kselftest check-pressure check-kunit \
check-builds check-deb check-monitoring check-programs:
	@selftests/summary $^

$(results)/style.tap: deps FORCE
	@selftests/record style selftests/style

$(results)/core.tap: deps FORCE
	@$(MAKE) -s -C selftests/core
	@selftests/record core selftests/core/check

$(results)/tools.tap: deps tests FORCE
	@selftests/record tools selftests/userspace/check

$(results)/harness.tap: deps FORCE
	@selftests/record harness selftests/harness

$(results)/vm.tap: deps FORCE
	@selftests/record vm $(vm)/selftest

# KUnit would run all suites each time that the module is loaded.
no_kunit := --append kunit.filter_glob=none

$(results)/debug.tap: deps FORCE
	@selftests/record debug selftests/debug/selftest

# $(1): the part, $(2): the kernel, $(3): which kselftests.
define run_kselftest
	@selftests/record $(1) \
		$(vm)/run --kernel $(2) --timeout 3600 --silence 900 $(no_kunit) -- \
		selftests/kselftest $(3)
endef

$(results)/kselftest-%.tap: deps tests FORCE
	$(call run_kselftest,kselftest-$*,$*,--each)

$(results)/kselftest-once.tap: deps tests FORCE
	$(call run_kselftest,kselftest-once,6.12,--once)

$(results)/kselftest-debug.tap: deps tests module-debug FORCE
	$(call run_kselftest,kselftest-debug,debug,--short)

$(results)/everywhere-debug.tap: module-debug

$(results)/everywhere-%.tap: deps tests FORCE
	$(call run_kselftest,everywhere-$*,$*)

$(results)/pressure-%.tap: deps tests FORCE
	@selftests/record pressure-$* \
		$(vm)/run --kernel $* --memory 512 -- \
		build/selftests/service/mesh_pressure

$(results)/misuse-%.tap: deps tests FORCE
	@selftests/record misuse-$* selftests/kernel/check-misuse --kernel $*

$(results)/misuse-debug.tap: module-debug

$(results)/kunit.tap: deps module-debug FORCE
	@selftests/record kunit \
		$(vm)/run --kernel debug --timeout 3600 $(no_kunit) -- selftests/kunit/run

$(results)/stress.tap: deps tests module-debug FORCE
	@selftests/record stress $(vm)/run --kernel debug \
		--timeout $$(($(or $(STRESS),3600) * 10)) --silence 0 $(no_kunit) -- \
		selftests/stress $(or $(STRESS),3600)

$(results)/torture.tap: deps tests module-debug FORCE
	@selftests/record torture $(vm)/run --kernel debug --cpus 4 \
		--timeout $$(($(or $(STRESS),3600) * 10)) --silence 0 $(no_kunit) -- \
		selftests/kernel/torture $(or $(STRESS),3600)

$(results)/kcsan.tap: deps module-kcsan FORCE
	@selftests/record kcsan $(vm)/run --kernel kcsan --timeout 7200 --silence 0 $(no_kunit) -- \
		selftests/kcsan/check

$(results)/builds.tap: deps FORCE
	@selftests/record builds selftests/packaging/builds

$(results)/deb.tap: deps module-$(KERNEL) userspace FORCE
	@selftests/record deb selftests/packaging/check --kernel $(KERNEL)

$(results)/monitoring.tap: deps module-$(KERNEL) userspace FORCE
	@selftests/record monitoring $(vm)/run --kernel $(KERNEL) --small \
		--image monitoring -- selftests/monitoring/check

$(results)/programs.tap: deps module-$(KERNEL) userspace FORCE
	@selftests/record programs selftests/programs/check --kernel $(KERNEL)

clean: ## remove what was built, but not the cache
	rm -rf build

clean-cache: ## remove the cache, too: kernels, their sources, the VM's image
	rm -rf $${PYMALLOC_CACHE:-$${XDG_CACHE_HOME:-~/.cache}/pymalloc}

FORCE:
.PHONY: FORCE all help module modules userspace docs tests deps deps-vm needs \
	install install-module uninstall deb run shell bench bench-python bench-fork \
	bench-kernel bench-refs bench-return bench-stack bench-trace bench-type clean clean-cache check \
	check-style check-core check-tools check-vm check-kselftest check-pressure check-kunit \
	check-debug check-everywhere check-stress check-torture check-kcsan check-builds check-deb check-monitoring check-programs

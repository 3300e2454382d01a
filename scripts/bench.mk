# The programs that show and measure.

demo: ## install what is missing, build, and watch peers join, all-reduce, leave: start here
	@$(MAKE) --no-print-directory deps
	@$(SUBMAKE) all
	@PCCL_BUILD=$(B) bench/demo.sh

bench: all ## measure, beside the alternatives that are installed
	@PCCL_BUILD=$(B) bench/run.sh

.PHONY: demo bench

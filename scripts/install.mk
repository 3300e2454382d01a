# Installation. DESTDIR, PREFIX, LIBDIR, INCLUDEDIR and BINDIR as everywhere.

HEADERS := $(wildcard include/pccl/*.h)
SO_NAMES := $(notdir $(LIB_SO)) libpccl.so.$(SOVERSION) libpccl.so

# Made anew each time: PREFIX may be another one than last time.
$(B)/lib/pccl.pc: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))' \
		'includedir=$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))' '' 'Name: pccl' \
		'Description: fault-tolerant collective communication over TCP' 'Version: $(VERSION)' \
		'Cflags: -I$${includedir} -I$${includedir}/pccl' 'Libs: -L$${libdir} -lpccl' \
		'Libs.private: $(LDLIBS) -pthread' >$@

install: all $(B)/lib/pccl.pc ## install into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(INCLUDEDIR)/pccl $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(BINDIR)
	install -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/pccl
	install -m 644 $(LIB_A) $(LIB_SO) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(LIB_SO)) $(DESTDIR)$(LIBDIR)/libpccl.so.$(SOVERSION)
	ln -sf libpccl.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libpccl.so
	install -m 644 $(B)/lib/pccl.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	$(if $(strip $(PROGS)),install $(PROGS) $(DESTDIR)$(BINDIR))
	$(if $(DESTDIR),,-@ldconfig 2>/dev/null || true # root only: others set LD_LIBRARY_PATH)

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/pccl/,$(notdir $(HEADERS)))
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libpccl.a $(SO_NAMES) pkgconfig/pccl.pc)
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(notdir $(PROGS)))
	rmdir $(DESTDIR)$(INCLUDEDIR)/pccl 2>/dev/null || true

FORCE:

.PHONY: install uninstall FORCE

# What the wire itself can do, below the collectives.

STREAM_SPEED := $(B)/test/speed/stream_speed

$(STREAM_SPEED): $(B)/test/%: $(B)/obj/tests/%.o $(LIB_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

stream-speed: $(STREAM_SPEED) ## frames over one stream and one link beside plain sockets: GB/s and processor time
	@$(STREAM_SPEED)

-include $(B)/obj/tests/speed/stream_speed.d
.PHONY: stream-speed

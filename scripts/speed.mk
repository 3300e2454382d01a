# What single parts can do by themselves: the wire below the collectives, the codecs.

STREAM_SPEED := $(B)/test/speed/stream_speed
CODEC_SPEED := $(B)/test/speed/codec_speed
DIGEST_SPEED := $(B)/test/speed/digest_speed

$(STREAM_SPEED) $(CODEC_SPEED) $(DIGEST_SPEED): $(B)/test/%: $(B)/obj/tests/%.o $(INTERNAL_A)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

stream-speed: $(STREAM_SPEED) ## frames over one stream and one link beside plain sockets: GB/s and processor time
	@$(STREAM_SPEED)

codec-speed: $(CODEC_SPEED) ## every codec beside memcpy, in the cache: GB/s of float32 on one core
	@$(CODEC_SPEED)

digest-speed: $(DIGEST_SPEED) ## hashing of states on all cores beside XXH3 and memcpy on one: GB/s (5 GiB of memory)
	@$(DIGEST_SPEED)

codec-error: $(B)/test/unit/collectives/codec/test_codec_error ## errors of means of 2, 8, 16 and 64 peers on the reference data; of uniform vectors
	@$<

-include $(B)/obj/tests/speed/stream_speed.d $(B)/obj/tests/speed/codec_speed.d $(B)/obj/tests/speed/digest_speed.d
.PHONY: stream-speed codec-speed digest-speed codec-error

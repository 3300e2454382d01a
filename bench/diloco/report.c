#include "train.h"

#include <math.h>

const char *mode_name(int mode)
{
	return mode == TRAIN_DDP ? "ddp" : pcclGetName(pcclEnumDilocoMode, mode);
}

/* What data-parallel training sends: measured if it was one of the runs, else what an all-reduce of float32 takes. */
static double ddp_bytes(const struct options *options, const struct outcome *outcomes)
{
	unsigned i;

	for (i = 0; i < options->run_count; i++)
		if (outcomes[i].mode == TRAIN_DDP)
			return outcomes[i].bytes;
	return 2.0 * (options->peers - 1) / options->peers * 4 * (double)outcomes[0].parameters * options->steps;
}

static const char *codec_name(const struct options *options, const struct outcome *outcome)
{
	return outcome->mode == TRAIN_DDP || options->settings.codec == pcclQuantNone
		       ? "float32"
		       : pcclGetName(pcclEnumCodec, options->settings.codec);
}

void report_table(const struct options *options, const struct outcome *outcomes)
{
	const double ddp = ddp_bytes(options, outcomes);
	unsigned i;

	printf("\n%-12s %-8s %8s %14s %12s %9s %8s %6s\n", "mode", "codec", "loss", "bytes per peer", "less than ddp",
	       "waiting", "seconds", "rounds");
	for (i = 0; i < options->run_count; i++) {
		const struct outcome *outcome = &outcomes[i];

		printf("%-12s %-8s %8.4f %14.0f %11.1fx %8.1f%% %8.1f %6llu\n", mode_name(outcome->mode),
		       codec_name(options, outcome), outcome->loss, outcome->bytes,
		       outcome->bytes > 0 ? ddp / outcome->bytes : 0, 100 * outcome->wait_share, outcome->seconds,
		       (unsigned long long)outcome->rounds);
		if (outcome->killed > 0)
			printf("  %u peers were killed, as many joined; %u trained to the end; the first did %llu "
			       "rounds "
			       "again\n",
			       outcome->killed, outcome->joined, (unsigned long long)outcome->repeated);
		if (outcome->divergences > 0)
			printf("  the parameters of %u peers DIFFER from the first one's\n", outcome->divergences);
	}
}

void report_json(const struct options *options, const struct outcome *outcomes)
{
	unsigned i;

	for (i = 0; i < options->run_count; i++) {
		const struct outcome *outcome = &outcomes[i];

		printf("{\"mode\": \"%s\", \"codec\": \"%s\", \"peers\": %u, \"steps\": %llu, \"final_loss\": %.6f, "
		       "\"wire_bytes_per_peer\": %.0f, \"ddp_bytes_per_peer\": %.0f, \"wait_share\": %.4f, "
		       "\"peak_over_average\": %.3f, \"divergences\": %u, \"rounds\": %llu, \"repeated\": %llu, "
		       "\"killed\": %u, \"missed\": %llu, \"seconds\": %.2f}\n",
		       mode_name(outcome->mode), codec_name(options, outcome), options->peers,
		       (unsigned long long)outcome->steps, outcome->loss, outcome->bytes, ddp_bytes(options, outcomes),
		       outcome->wait_share, outcome->peak, outcome->divergences, (unsigned long long)outcome->rounds,
		       (unsigned long long)outcome->repeated, outcome->killed,
		       (unsigned long long)outcome->missed[options->peers - 1], outcome->seconds);
	}
}

/* Loss over bytes, whose scale is logarithmic. */
bool report_svg(const struct options *options, const struct outcome *outcomes)
{
	static const char *const colours[] = {"#444444", "#1f77b4", "#d62728", "#2ca02c",
					      "#9467bd", "#ff7f0e", "#8c564b", "#17becf"};
	const double left = log10(1e3), right = log10(ddp_bytes(options, outcomes) * 1.5 + 1e4), low = 1, high = 4.6;
	FILE *file = fopen(options->svg, "w");
	unsigned i, j;

	if (file == NULL)
		return false;
	(void)fprintf(file, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 640 400' font-family='sans-serif' "
			    "font-size='12'>\n<rect width='640' height='400' fill='white'/>\n"
			    "<text x='320' y='395' text-anchor='middle'>bytes sent per peer (powers of ten)</text>\n"
			    "<text x='12' y='20'>training loss, nats per character</text>\n");
	for (j = 3; (double)j <= right; j++) {
		const double x = 50 + 560 * ((double)j - left) / (right - left);

		(void)fprintf(file,
			      "<line x1='%.1f' x2='%.1f' y1='30' y2='360' stroke='#dddddd'/>"
			      "<text x='%.1f' y='376' text-anchor='middle'>%u</text>\n",
			      x, x, x, j);
	}
	for (j = 1; j <= 4; j++) {
		const double y = 360 - 330 * ((double)j - low) / (high - low);

		(void)fprintf(file,
			      "<line x1='50' x2='610' y1='%.1f' y2='%.1f' stroke='#dddddd'/>"
			      "<text x='40' y='%.1f' text-anchor='end'>%u</text>\n",
			      y, y, y + 4, j);
	}
	for (i = 0; i < options->run_count; i++) {
		(void)fprintf(file, "<polyline fill='none' stroke-width='2' stroke='%s' points='", colours[i]);
		for (j = 0; j < outcomes[i].sample_count; j++) {
			const double bytes = outcomes[i].samples[j].bytes;

			if (bytes >= 1e3)
				(void)fprintf(file, "%.1f,%.1f ", 50 + 560 * (log10(bytes) - left) / (right - left),
					      360 - 330 * (outcomes[i].samples[j].loss - low) / (high - low));
		}
		(void)fprintf(file, "'/>\n<text x='500' y='%u' fill='%s'>%s, %.3f</text>\n", 50 + 16 * i, colours[i],
			      mode_name(outcomes[i].mode), outcomes[i].loss);
	}
	(void)fprintf(file, "</svg>\n");
	return fclose(file) == 0;
}

#include "train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 8
#define WIDTH 16 /* of an embedding */
#define INPUTS (CONTEXT * WIDTH)
#define HIDDEN 128
#define BATCH 32

#define HIDDEN_PARTS 32
#define OUTPUT_PARTS 24

/* The places of the tensors in one array. */
#define AT_HIDDEN (TEXT_SYMBOLS * WIDTH)
#define AT_HIDDEN_BIAS (AT_HIDDEN + INPUTS * HIDDEN)
#define AT_OUTPUT (AT_HIDDEN_BIAS + HIDDEN)
#define AT_OUTPUT_BIAS (AT_OUTPUT + HIDDEN * TEXT_SYMBOLS)

struct model_work {
	float input[INPUTS], hidden[HIDDEN], output[TEXT_SYMBOLS];
	float d_input[INPUTS], d_hidden[HIDDEN];
};

static double uniform(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(*random >> 11) / 9007199254740992.0;
}

/* A tensor of so many parts: rows in turn. */
static size_t add_tensor(struct model *model, size_t tensor, const char *name, size_t at, size_t count, size_t parts)
{
	size_t part;

	for (part = 0; part < parts; part++) {
		char *full = model->names[tensor + part];
		const pcclTensorInfo_t made = {full,	      model->values + at + part * (count / parts),
					       count / parts, pcclFloat,
					       pcclDeviceCpu, false};

		if (parts == 1)
			(void)snprintf(full, MODEL_NAME_BYTES, "%s", name);
		else
			(void)snprintf(full, MODEL_NAME_BYTES, "%s.%zu", name, part);
		model->tensors[tensor + part] = made;
	}
	return tensor + parts;
}

static void fill(float *values, size_t count, float width, uint64_t *random)
{
	size_t i;

	for (i = 0; i < count; i++)
		values[i] = width * (float)(2 * uniform(random) - 1);
}

bool model_create(struct model *model, uint64_t seed)
{
	uint64_t random = seed * 2 + 1;
	size_t tensor = 0;

	memset(model, 0, sizeof(*model));
	model->count = AT_OUTPUT_BIAS + TEXT_SYMBOLS;
	model->values = calloc(model->count, sizeof(float));
	model->gradients = calloc(model->count, sizeof(float));
	model->first = calloc(model->count, sizeof(float));
	model->second = calloc(model->count, sizeof(float));
	model->work = calloc(1, sizeof(*model->work));
	if (model->values == NULL || model->gradients == NULL || model->first == NULL || model->second == NULL ||
	    model->work == NULL)
		return false;
	tensor = add_tensor(model, tensor, "embedding", 0, AT_HIDDEN, 1);
	tensor = add_tensor(model, tensor, "hidden.weight", AT_HIDDEN, INPUTS * HIDDEN, HIDDEN_PARTS);
	tensor = add_tensor(model, tensor, "hidden.bias", AT_HIDDEN_BIAS, HIDDEN, 1);
	tensor = add_tensor(model, tensor, "output.weight", AT_OUTPUT, HIDDEN * TEXT_SYMBOLS, OUTPUT_PARTS);
	(void)add_tensor(model, tensor, "output.bias", AT_OUTPUT_BIAS, TEXT_SYMBOLS, 1);
	fill(model->values, AT_HIDDEN, 0.5f, &random);
	fill(model->values + AT_HIDDEN, INPUTS * HIDDEN, 0.15f, &random);
	fill(model->values + AT_OUTPUT, HIDDEN * TEXT_SYMBOLS, 0.15f, &random);
	return true;
}

void model_destroy(struct model *model)
{
	free(model->values);
	free(model->gradients);
	free(model->first);
	free(model->second);
	free(model->work);
}

/* Leaves the probabilities in work->output; returns the loss. */
static float forward(struct model_work *work, const float *values, const uint8_t *symbols)
{
	float most = -1e30f, sum = 0;
	size_t i, j;

	for (i = 0; i < CONTEXT; i++)
		memcpy(work->input + i * WIDTH, values + (size_t)symbols[i] * WIDTH, WIDTH * sizeof(float));
	memcpy(work->hidden, values + AT_HIDDEN_BIAS, sizeof(work->hidden));
	for (i = 0; i < INPUTS; i++)
		for (j = 0; j < HIDDEN; j++)
			work->hidden[j] += work->input[i] * values[AT_HIDDEN + i * HIDDEN + j];
	for (j = 0; j < HIDDEN; j++)
		work->hidden[j] = tanhf(work->hidden[j]);
	memcpy(work->output, values + AT_OUTPUT_BIAS, sizeof(work->output));
	for (i = 0; i < HIDDEN; i++)
		for (j = 0; j < TEXT_SYMBOLS; j++)
			work->output[j] += work->hidden[i] * values[AT_OUTPUT + i * TEXT_SYMBOLS + j];
	for (j = 0; j < TEXT_SYMBOLS; j++)
		most = work->output[j] > most ? work->output[j] : most;
	for (j = 0; j < TEXT_SYMBOLS; j++) {
		work->output[j] = expf(work->output[j] - most);
		sum += work->output[j];
	}
	for (j = 0; j < TEXT_SYMBOLS; j++)
		work->output[j] /= sum;
	return -logf(work->output[symbols[CONTEXT]] + 1e-20f);
}

static void backward(struct model_work *work, const float *values, float *gradients, const uint8_t *symbols)
{
	size_t i, j;

	work->output[symbols[CONTEXT]] -= 1;
	for (j = 0; j < TEXT_SYMBOLS; j++) {
		work->output[j] /= BATCH;
		gradients[AT_OUTPUT_BIAS + j] += work->output[j];
	}
	for (i = 0; i < HIDDEN; i++) {
		float sum = 0;

		for (j = 0; j < TEXT_SYMBOLS; j++) {
			gradients[AT_OUTPUT + i * TEXT_SYMBOLS + j] += work->hidden[i] * work->output[j];
			sum += values[AT_OUTPUT + i * TEXT_SYMBOLS + j] * work->output[j];
		}
		work->d_hidden[i] = sum * (1 - work->hidden[i] * work->hidden[i]);
		gradients[AT_HIDDEN_BIAS + i] += work->d_hidden[i];
	}
	for (i = 0; i < INPUTS; i++) {
		float sum = 0;

		for (j = 0; j < HIDDEN; j++) {
			gradients[AT_HIDDEN + i * HIDDEN + j] += work->input[i] * work->d_hidden[j];
			sum += values[AT_HIDDEN + i * HIDDEN + j] * work->d_hidden[j];
		}
		gradients[(size_t)symbols[i / WIDTH] * WIDTH + i % WIDTH] += sum;
	}
}

float model_gradient(struct model *model, const struct text *text, uint64_t *random)
{
	float loss = 0;
	unsigned i;

	memset(model->gradients, 0, model->count * sizeof(float));
	for (i = 0; i < BATCH; i++) {
		const size_t place = (size_t)(uniform(random) * (double)(text->train_count - CONTEXT - 1));

		loss += forward(model->work, model->values, text->train + place) / BATCH;
		backward(model->work, model->values, model->gradients, text->train + place);
	}
	return loss;
}

void model_step(struct model *model, float rate)
{
	const float decay_first = 1 - powf(0.9f, (float)++model->steps);
	const float decay_second = 1 - powf(0.99f, (float)model->steps);
	size_t i;

	for (i = 0; i < model->count; i++) {
		const float gradient = model->gradients[i];

		model->first[i] = 0.9f * model->first[i] + 0.1f * gradient;
		model->second[i] = 0.99f * model->second[i] + 0.01f * gradient * gradient;
		model->values[i] -=
			rate * (model->first[i] / decay_first) / (sqrtf(model->second[i] / decay_second) + 1e-8f);
	}
}

float model_evaluate(struct model *model, const float *values, const struct text *text)
{
	const size_t stride = 7;
	double loss = 0;
	size_t count = 0, place;

	for (place = 0; place + CONTEXT + 1 < text->test_count; place += stride, count++)
		loss += (double)forward(model->work, values, text->test + place);
	return (float)(loss / (double)count);
}
